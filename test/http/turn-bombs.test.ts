import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test"
import { ffmpeg, ffmpegToFile } from "../support/ffmpeg.ts"
import { connectRaw, head } from "../support/raw-http.ts"
import { startTurns, type TurnService } from "../support/turns.ts"

/** Small recordings that are large when decoded. */
let service: TurnService
let key = ""
beforeAll(async () => {
  service = await startTurns({ env: { MAX_AUDIO_DURATION_SECONDS: "20" } })
  key = await service.register()
})
afterAll(() => service.stop())
beforeEach(() => service.reset())
afterEach(() => service.nothingLeft())

const tone = (seconds: number) => ["-f", "lavfi", "-i", `sine=d=${seconds}:r=16000`]
const answerTo = (recording: Uint8Array) =>
  service.converse(key, new Blob([recording]), { accept: "application/json" })

test("packets with equal timestamps are measured by their samples", async () => {
  const flac = await ffmpeg([
    ...tone(600),
    "-c:a",
    "flac",
    "-f",
    "matroska",
    "-live",
    "1",
    "-bsf:a",
    "setts=ts=0",
    "pipe:1",
  ])
  const answer = await answerTo(flac)
  expect(await answer.json()).toMatchObject({ error: "AUDIO_TOO_LONG" })
  expect(service.upstream.calls("stt")).toEqual([])
})

test("concatenated recordings are one recording", async () => {
  const ogg = await ffmpeg([...tone(3), "-c:a", "libvorbis", "-f", "ogg", "pipe:1"])
  const chained = await answerTo(Buffer.concat(Array(10).fill(ogg)))
  expect(await chained.json()).toMatchObject({ error: "AUDIO_TOO_LONG" })
})

test("a gap in the timestamps adds no silence", async () => {
  const paused = await ffmpeg([
    ...tone(10),
    ...["-c:a", "libopus", "-f", "webm", "-bsf:a", "setts=ts='if(gt(N,200),TS+600000,TS)'", "pipe:1"],
  ])
  const answer = await answerTo(paused)
  expect(await answer.json()).toMatchObject({ usage: { audioSeconds: expect.closeTo(10, 0) } })
})

test("a large picture in an MP3 is not decoded", async () => {
  const picture = ["-f", "lavfi", "-i", "color=c=red:s=3000x3000:d=0.04:r=25", "-map", "0:a", "-map", "1:v"]
  const cover = ["-frames:v", "1", "-c:v", "png", "-disposition:v", "attached_pic"]
  const answer = await answerTo(await ffmpegToFile([...tone(2), ...picture, ...cover], "a.mp3"))
  expect(answer.status).toBe(200)
})

test("a body of many tiny chunks does not block others", async () => {
  const raw = await connectRaw(service.url)
  const other = await connectRaw(service.url)
  raw.send(
    head("POST /api/v1/users/register", {
      "content-type": "application/json",
      "transfer-encoding": "chunked",
    }),
  )
  raw.send("1\r\n \r\n".repeat(200_000))
  other.send(head("GET /api/v1/health"))
  expect((await other.answer()).status).toBe(200)
  raw.leave()
  other.leave()
})
