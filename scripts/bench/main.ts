/**
 * Measures turns against a scripted upstream of a given latency; the service and the upstream are processes of their
 * own. Usage: bun run bench [--turns 5] [--clients 1,16]
 */
import { parseArgs } from "node:util"
import { Schema } from "effect"
import { ffmpeg } from "../../test/support/ffmpeg.ts"
import { tokensOf } from "../../test/support/upstream-answers.ts"
import { speechLike, wavOf } from "../../test/support/wav.ts"
import { type Heard, percentile, takeTurn, takeTurns } from "./client.ts"
import { type Cost, costOf, startProgram } from "./process.ts"

const { values } = parseArgs({
  options: { turns: { type: "string", default: "5" }, clients: { type: "string", default: "1,16" } },
})
const turnsPerClient = Number(values.turns)
const clientCounts = values.clients.split(",").map(Number)

/** Three sentences of 15, 20 and 25 tokens. */
const reply =
  "The museum by the river opens at nine in the morning on most days. " +
  "You can walk there from the old station in ten minutes, or take the tram that stops outside. " +
  "The paintings on the second floor are worth the climb, and the small garden behind the house is a quiet place to rest."

/** Medians of hosted models; `at once` shows what the service itself costs. */
const models = {
  "at once": {
    sttMs: 0,
    llmFirstTokenMs: 0,
    llmTokensPerSecond: undefined,
    ttsFirstByteMs: 0,
    realTimes: undefined,
  },
  hosted: { sttMs: 600, llmFirstTokenMs: 350, llmTokensPerSecond: 60, ttsFirstByteMs: 400, realTimes: 8 },
} as const
type Model = (typeof models)[keyof typeof models]

/** The earliest first byte that this upstream allows: transcript, first sentence, its first sound. */
const floorMs = (model: Model) => {
  const firstSentence = tokensOf(reply).indexOf(".")
  const writing =
    model.llmTokensPerSecond === undefined ? 0 : (firstSentence * 1000) / model.llmTokensPerSecond
  return model.sttMs + model.llmFirstTokenMs + writing + model.ttsFirstByteMs
}

const startUpstream = (model: Model) => {
  const option = (name: string, value: number | undefined) =>
    value === undefined ? [] : [`--${name}`, `${value}`]
  return startProgram(
    [
      "test/support/upstream.ts",
      ...["--reply", reply],
      ...option("stt-ms", model.sttMs),
      ...option("llm-first-token-ms", model.llmFirstTokenMs),
      ...option("llm-tokens-per-second", model.llmTokensPerSecond),
      ...option("tts-first-byte-ms", model.ttsFirstByteMs),
      ...option("tts-real-time-factor", model.realTimes),
    ],
    {},
    (line) => line.startsWith("http"),
  )
}

const startService = async (upstreamUrl: string) => {
  const service = await startProgram(
    ["src/main.ts"],
    {
      NODE_ENV: "production",
      OPENAI_API_KEY: "sk-bench",
      OPENAI_BASE_URL: upstreamUrl,
      DATA_DIR: ".data/bench",
      PORT: "0",
      LOG_DIR: "",
    },
    (line) => line.includes("listening"),
  )
  const url = /http:\/\/localhost:\d+/.exec(service.line)?.[0]
  return { ...service, api: `${url}/api/v1` }
}

const seconds = 5
const wav = wavOf(speechLike(seconds))
const recordings = {
  WAV: new Blob([wav]),
  WebM: new Blob([
    await ffmpeg(["-i", "pipe:0", "-c:a", "libopus", "-f", "webm", "-live", "1", "pipe:1"], wav),
  ]),
}

const row = (
  name: string,
  heard: ReadonlyArray<Heard>,
  floor: number,
  wallMs: number,
  before: Cost,
  after: Cost,
) => {
  const first = heard.map(({ firstByteMs }) => firstByteMs)
  const last = heard.map(({ lastByteMs }) => lastByteMs)
  const ms = (value: number) => value.toFixed(0)
  return {
    turns: name,
    "first byte p50": ms(percentile(first, 0.5)),
    p95: ms(percentile(first, 0.95)),
    floor: ms(floor),
    "over floor": ms(percentile(first, 0.5) - floor),
    "last byte p50": ms(percentile(last, 0.5)),
    "gaps max": ms(Math.max(...heard.map(({ gapMs }) => gapMs))),
    "own CPU": ((after.ownMs - before.ownMs) / heard.length).toFixed(1),
    "ffmpeg CPU": ((after.childrenMs - before.childrenMs) / heard.length).toFixed(1),
    "turns/s": (heard.length / (wallMs / 1000)).toFixed(1),
    "RSS MB": ms(after.rssMb),
  }
}

const rows: Array<ReturnType<typeof row>> = []
for (const [modelName, model] of Object.entries(models)) {
  const upstream = await startUpstream(model)
  const service = await startService(upstream.line)
  try {
    if (rows.length === 0) console.log(`resident memory, idle: ${costOf(service.pid).rssMb.toFixed(0)} MB`)
    const registered = await fetch(`${service.api}/users/register`, {
      method: "POST",
      body: new URLSearchParams({ email: `bench-${crypto.randomUUID()}@example.com` }),
    })
    const { apiKey } = Schema.decodeUnknownSync(Schema.Struct({ apiKey: Schema.String }))(
      await registered.json(),
    )
    for (const [type, recording] of Object.entries(recordings)) {
      const turn = () => takeTurn(service.api, apiKey, recording)
      // Until the runtime has compiled what is hot.
      await takeTurns(model === models.hosted ? 8 : 60, 8, turn)
      for (const clients of clientCounts) {
        const turns = turnsPerClient * Math.max(clients, model === models.hosted ? 1 : 8)
        const before = costOf(service.pid)
        const started = performance.now()
        const heard = await takeTurns(turns, clients, turn)
        const wallMs = performance.now() - started
        const name = `${modelName}, ${type}, ${clients} client${clients === 1 ? "" : "s"}`
        console.error(name)
        rows.push(row(name, heard, floorMs(model), wallMs, before, costOf(service.pid)))
      }
    }
  } finally {
    await service.stop()
    await upstream.stop()
  }
}
console.table(rows)
