/** Servers that take some values of `response_format` only. */
import { afterEach, describe, expect, test } from "bun:test"
import { Cause, Effect, Exit, Option } from "effect"
import type { RequestedFormat } from "../../../src/audio/speech-input.ts"
import { makeSpeechJoiner } from "../../../src/audio/speech-joiner.ts"
import { makeSpeechOutput } from "../../../src/audio/speech-output.ts"
import { speakWith } from "../../../src/providers/openai/synthesizer.ts"
import { newId, TurnId } from "../../../src/schema.ts"
import { startConversion } from "../../support/conversion.ts"
import { type DialectServer, startDialect } from "../../support/dialects/server.ts"
import { decode } from "../../support/ffmpeg.ts"
import { tonesIn } from "../../support/listen.ts"
import { clientOf } from "../../support/openai-client.ts"
import { TONES } from "../../support/upstream-audio.ts"

let server: DialectServer | undefined
afterEach(() => server?.stop())

type Words = (format: unknown, taken: ReadonlyArray<unknown>) => unknown

/** What servers say of a format that they don't take. */
const refusals: Readonly<Record<string, Words>> = {
  "names the parameter": (format) => ({
    error: { message: "Not supported.", param: "response_format", code: "unsupported_value", value: format },
  }),
  "lists what it takes": (format, taken) => ({
    error: { message: `response_format '${format}' is not supported, use one of: ${taken.join(", ")}` },
  }),
  "names the value": (format) => ({ detail: `${format} is not available` }),
  "speaks of a format": () => ({ error: "Unsupported audio format" }),
  "has a loc": () => ({ detail: [{ type: "literal_error", loc: ["body", "response_format"], msg: "bad" }] }),
  "is text": (format) => `Unknown format ${format}`,
}

const start = (
  takes: ReadonlyArray<RequestedFormat | undefined>,
  words: Words,
  { status = 400, configured = Option.none<RequestedFormat>() } = {},
) => {
  const started = startDialect({
    routes: { tts: "/v1/audio/speech" },
    refuse: ({ fields: { response_format: format } }) =>
      takes.some((each) => each === format) ? undefined : { status, body: words(format, takes) },
  })
  server = started
  const client = clientOf(`${started.origin}/v1`)
  const speak = async (format: "mp3" | "pcm") => {
    const { push } = makeSpeechJoiner(format)
    const chunks: Array<Uint8Array> = []
    const options = { turnId: newId(TurnId), model: "m", voice: "alloy", output: makeSpeechOutput(format) }
    const exit = await Effect.runPromiseExit(
      speakWith(client, { startConversion, format: configured })("Yes.", options, () => (chunk) => {
        chunks.push(push(chunk).bytes)
        return true
      }),
    )
    return { exit, bytes: Buffer.concat(chunks) }
  }
  const asked = () => started.asked.map(({ fields }) => fields.response_format)
  return { speak, asked }
}

const expectTone = async (format: "mp3" | "pcm", bytes: Uint8Array) => {
  const { samples } =
    format === "mp3" ? await decode(bytes) : { samples: new Int16Array(Uint8Array.from(bytes).buffer) }
  expect(tonesIn(samples)).toEqual([TONES[0] ?? 0])
  expect(Math.abs(samples.length / 24_000 - 0.5)).toBeLessThan(0.15)
}

describe.each(["mp3", "pcm"] as const)("a reply as %s", (format) => {
  describe.each(["wav", "mp3", "pcm"] as const)("from a server that takes %s only", (taken) => {
    test.each(Object.entries(refusals))("whose refusal %s", async (_, words) => {
      const { speak, asked } = start([taken], words, { status: taken === "wav" ? 422 : 400 })
      const first = await speak(format)
      expect(first.exit).toEqual(Exit.void)
      await expectTone(format, first.bytes)
      const tries = asked().length
      expect(asked().at(-1)).toBe(taken)
      expect(new Set(asked()).size).toBe(tries)
      // The second request is the one that was accepted.
      expect((await speak(format)).exit).toEqual(Exit.void)
      expect(asked().slice(tries)).toEqual([taken])
    })
  })

  test("from a server without the parameter", async () => {
    const { speak, asked } = start([undefined], () => ({ error: "Unknown field response_format" }))
    const { exit, bytes } = await speak(format)
    expect(exit).toEqual(Exit.void)
    await expectTone(format, bytes)
    expect(asked().at(-1)).toBeUndefined()
    await speak(format)
    expect(asked().slice(-2)).toEqual([undefined, undefined])
  })

  test("in the configured format at once", async () => {
    const { speak, asked } = start(["wav"], () => ({}), { configured: Option.some("wav") })
    const { bytes } = await speak(format)
    await expectTone(format, bytes)
    expect(asked()).toEqual(["wav"])
  })

  test("in another, if the configured one is refused", async () => {
    const { speak, asked } = start(["mp3"], () => ({ error: "bad response_format" }), {
      configured: Option.some("flac"),
    })
    const { bytes } = await speak(format)
    await expectTone(format, bytes)
    expect(asked()[0]).toBe("flac")
    expect(asked().at(-1)).toBe("mp3")
  })
})

test("a refusal of something else is no refusal of the format", async () => {
  const { speak, asked } = start([], () => ({ error: { message: "The input is too long." } }))
  const { exit } = await speak("pcm")
  expect(
    Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined,
  ).toMatchObject({
    _tag: "ProviderRefusedRequest",
  })
  expect(asked()).toEqual(["pcm"])
})
