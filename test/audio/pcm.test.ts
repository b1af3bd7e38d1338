import { expect, test } from "bun:test"
import { Effect } from "effect"
import { checkDuration, pcm16k } from "../../src/audio/pcm.ts"

const check = (seconds: number, maxSeconds: number) =>
  Effect.runSync(Effect.either(checkDuration(pcm16k(new Uint8Array(seconds * 32_000)), maxSeconds)))

test("a recording may be as long as the limit", () => {
  expect(check(2, 2)).toMatchObject({ _tag: "Right" })
  expect(check(0.5, 2)).toMatchObject({ _tag: "Right" })
})

test("one sample more is too long", () => {
  expect(check(2 + 1 / 16_000, 2)).toMatchObject({ left: { _tag: "AudioTooLong", maxSeconds: 2 } })
})

test("a recording without samples is not audio", () => {
  expect(check(0, 2)).toMatchObject({ left: { _tag: "InvalidAudio", reason: "no samples" } })
})

test.each([1 / 16_000, 0.05, 0.1 - 1 / 16_000])("%d s are too short", (seconds) => {
  expect(check(seconds, 2)).toMatchObject({ left: { _tag: "AudioTooShort", minSeconds: 0.1 } })
})

test("0.1 s are long enough", () => {
  expect(check(0.1, 2)).toMatchObject({ _tag: "Right" })
})
