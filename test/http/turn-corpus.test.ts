import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { frameAt } from "../../src/audio/mp3-frame.ts"
import { processExists } from "../../src/process.ts"
import { wav16k } from "../support/audio.ts"
import { corpusOf, makeFile } from "../support/corpus/corpus.ts"
import type { Lures } from "../support/corpus/hand-made.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import { wavOf } from "../support/wav.ts"

/** Each costs 0.1 s of CPU. A longer run: VOICE_FUZZ_FILES=20000 VOICE_FUZZ_SEED=2 bun test test/http/turn-corpus.test.ts */
const files = Number(process.env.VOICE_FUZZ_FILES ?? 120)
const seed = Number(process.env.VOICE_FUZZ_SEED ?? 1)
/** Files sent concurrently. */
const clients = 4
/** Files between two checks for leftovers. */
const batch = 40
/** In ms: three times the longest turn. Only a hang takes longer, even on a slow machine. */
const hang = 180_000
/** The most that the service, its provider and the files may add to the memory. */
const mostGrowth = 512 * 1024 ** 2

/** The canary as it would be decoded: one repeated letter. */
const song = "Z".repeat(64)

let service: TurnService
let key = ""
let folder = ""
let lures: Lures
let connections = 0
const bait = Bun.listen({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    open: (socket) => {
      connections++
      socket.end()
    },
    data: () => undefined,
  },
})
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "voice-agent-test-"))
  lures = { url: `http://127.0.0.1:${bait.port}`, file: join(folder, "canary.wav") }
  await Bun.write(lures.file, Buffer.from(wavOf(new Float32Array(16_000))).fill("Z", 44))
  service = await startTurns({ env: { SILENCE_DBFS: "0", FFMPEG_WARM: "2" } })
  key = await service.register()
})
afterAll(async () => {
  bait.stop(true)
  const all = service.ffmpegs()
  await service.stop()
  expect(all.filter(processExists)).toEqual([])
  await rm(folder, { recursive: true, force: true })
})

/** True if the bytes are whole MP3 frames to the end. */
const isMp3 = (bytes: Uint8Array) => {
  let at = 0
  for (let frame = frameAt(bytes, at); frame !== undefined; frame = frameAt(bytes, at)) at += frame.bytes
  return at > 0 && at === bytes.length
}

const isText = (value: unknown) => typeof value === "string" && value !== ""

/** The problem with the response to a file, if any. */
const faultOf = async (answer: Response): Promise<string | undefined> => {
  if (answer.status === 200) {
    const named = ["x-session-id", "x-turn-id", "x-transcript"].every((name) => answer.headers.has(name))
    const isSound = isMp3(await answer.bytes())
    return named && isSound ? undefined : `a turn that is none: headers ${named}, MP3 ${isSound}`
  }
  const text = await answer.text()
  if (answer.status < 400 || answer.status > 499) return `${answer.status} ${text}`
  const problem: unknown = JSON.parse(text)
  const has = (name: string) => isText(typeof problem === "object" && Reflect.get(problem ?? {}, name))
  return ["error", "message", "requestId"].every(has) ? undefined : text
}

const tally = new Map<string, number>()
const send = async (name: string): Promise<ReadonlyArray<string>> => {
  try {
    const file = await makeFile(seed, name, lures)
    const answer = await service.converse(key, new Blob([file]), { signal: AbortSignal.timeout(hang) })
    tally.set(`${answer.status}`, (tally.get(`${answer.status}`) ?? 0) + 1)
    const fault = await faultOf(answer)
    // Handmade files are invalid only in what their headers claim.
    if (/that is right\b/.test(name) && answer.status !== 200) return [`${name}: ${answer.status}`]
    return fault === undefined ? [] : [`${name}: ${fault}`]
  } catch (error) {
    return [`${name}: ${error}`]
  }
}

const heard = () => service.upstream.calls("stt").map(({ request }) => Buffer.from(request.file.bytes))

test("the canary would be noticed", async () => {
  await (await service.converse(key, new Blob([await Bun.file(lures.file).bytes()]))).bytes()
  expect(heard().some((speech) => speech.includes(song))).toBe(true)
  service.upstream.reset()
})

test(
  `${files} invalid files are turns or 4xx (VOICE_FUZZ_SEED=${seed})`,
  async () => {
    const before = await service.stored()
    // By kind: a warm ffmpeg is for one kind, and is killed for that of another.
    const names = corpusOf(files, seed).toSorted()
    const faults: Array<string> = []
    Bun.gc(true)
    const memory = process.memoryUsage().rss
    for (let from = 0; from < names.length; from += batch) {
      const queue = names.slice(from, from + batch)
      const client = async () => {
        for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
          faults.push(...(await send(name)))
        }
      }
      await Promise.all(Array.from({ length: clients }, client))
      await service.nothingLeft(2)
      if (heard().some((speech) => speech.includes(song))) {
        faults.push(`of ${names.slice(from, from + batch).join(", ")} one sang`)
      }
      // Compares start times too: in a long run, another process may get the pid of an ended ffmpeg.
      service.reset()
    }
    expect(faults).toEqual([])
    expect(connections).toBe(0)
    const turns = tally.get("200") ?? 0
    expect(await service.stored()).toEqual({
      sessions: before.sessions + turns,
      messages: before.messages + 2 * turns,
    })
    // Some files were rejected, and some were decoded.
    expect(turns).toBeGreaterThan(files / 20)
    expect(tally.get("400")).toBeGreaterThan(files / 4)
    Bun.gc(true)
    expect(process.memoryUsage().rss - memory).toBeLessThan(mostGrowth)
    const good = await service.converse(key, new Blob([await wav16k()]))
    expect({ status: good.status, isSound: isMp3(await good.bytes()) }).toEqual({
      status: 200,
      isSound: true,
    })
  },
  files * 1000 + hang,
)
