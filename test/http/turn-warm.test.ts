import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { readdirSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { processExists } from "../../src/process.ts"
import { webmOpus } from "../support/audio.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"

/** Turns that use warm ffmpeg processes. */
let service: TurnService
let key = ""
let recording: Uint8Array = new Uint8Array()
beforeAll(async () => {
  recording = await webmOpus()
})
beforeEach(async () => {
  service = await startTurns({ env: { FFMPEG_WARM: "2" } })
  key = await service.register()
  await until(() => service.ffmpegsAlive().length === 1, "one that waits")
})
afterEach(async () => {
  const all = service.ffmpegs()
  await service.stop()
  expect(all.filter(processExists)).toEqual([])
})

/** The whole upload has arrived. */
const isUploaded = () =>
  readdirSync(tmpdir(), { recursive: true, encoding: "utf8" }).some(
    (path) => statSync(join(tmpdir(), path), { throwIfNoEntry: false })?.size === recording.length,
  )

const converse = () => service.converse(key, new Blob([recording]))

test("a turn uses the warm ffmpeg; another is started", async () => {
  const [first = 0] = service.ffmpegs()
  // An ffmpeg started from here on decodes nothing.
  service.ffmpegHangs(true)
  const answer = await converse()
  expect({ status: answer.status, bytes: (await answer.bytes()).length }).toMatchObject({ status: 200 })
  expect(service.upstream.calls("stt")).toHaveLength(1)
  expect(processExists(first)).toBe(false)
  await until(() => service.ffmpegs().length === 2, "the next")
})

describe.each(["close", "reset"] as const)("a client that disconnects by %s", (how) => {
  test("during decoding: ends it, keeps the warm ones", async () => {
    const [first = 0] = service.ffmpegs()
    process.kill(first, "SIGSTOP")
    // The test cannot see when the decoder is taken. A client that disconnects too early leaves it warm, and the next one tries
    // again.
    const leaves = async () => {
      const client = await service.converseRaw(key, recording)
      await until(isUploaded, "the whole recording")
      await Bun.sleep(50)
      client.leave(how)
      await service.turnsInHand(0)
      return !processExists(first)
    }
    await until(leaves, "its end")
    await until(() => service.ffmpegsAlive().length === 1, "the next")
    expect(service.upstream.calls("stt")).toEqual([])
    expect((await converse()).status).toBe(200)
  })
})

test("a dead warm ffmpeg is replaced", async () => {
  const [first = 0] = service.ffmpegs()
  process.kill(first, "SIGKILL")
  await until(() => !processExists(first), "its end")
  expect((await converse()).status).toBe(200)
})

test("after 20 concurrent turns at most two are warm", async () => {
  const answers = await Promise.all(Array.from({ length: 20 }, converse))
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
  await Promise.all(answers.map((answer) => answer.bytes()))
  expect(service.ffmpegs().length).toBeGreaterThanOrEqual(21)
  await until(() => service.ffmpegsAlive().length <= 2, "an end of all others")
  await Bun.sleep(50)
  expect(service.ffmpegsAlive().length).toBeLessThanOrEqual(2)
})
