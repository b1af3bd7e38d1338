import { parseArgs } from "node:util"
import { defaultReply, hosted, type Latency } from "./latency.ts"
import type { latencyOptions } from "./programs.ts"

export interface Options {
  readonly clients: ReadonlyArray<number>
  /** The least that a row measures: turns, and time in ms. */
  readonly least: { readonly turns: number; readonly ms: number }
  /** How long a load of many clients warms the process before the rows with the upstream's latency, in ms. */
  readonly warmMs: number
  readonly latency: Latency
  readonly reply: string
  /** The service's ffmpeg: the one of the image cannot make the recordings of the clients. */
  readonly ffmpeg: string | undefined
  /** Whether the results are written to docs. */
  readonly write: boolean
  /** Measures the offline engines instead. */
  readonly engines: boolean
  /** Measures Realtime connections instead. */
  readonly realtime: boolean
  /** Measures the start, the first turns and a service with nothing to do instead. */
  readonly start: boolean
}

export const usage = `Usage: bun run bench [options]

  --write                      write docs/benchmarks.md and docs/turn-waterfall.svg
  --engines                    measure the offline engines instead, which need no upstream
  --realtime                   measure Realtime connections instead, with loads and an upstream of their own
  --start                      measure the start, the first turns and a service with nothing to do instead
  --clients 1,16,32,64         numbers of concurrent clients
  --turns 20, --seconds 6      the least that a row measures
  --warm-seconds 90            how long 64 clients warm the service before the rows with the upstream's latency
  --stt-ms 600                 the upstream: time to the transcript,
  --llm-first-token-ms 350     time to the model's first token,
  --llm-tokens-per-second 60   its rate after that,
  --tts-first-byte-ms 400      time to the first byte of speech,
  --tts-real-time-factor 8     its rate after that, as a multiple of the speed at which it plays
  --reply "…"                  the reply of the model (three sentences, 60 tokens)
  --ffmpeg PATH                the ffmpeg of the service (default: that of the image where
                               \`bun run check\` has built it, otherwise the first one in PATH)`

/** Throws an error with a sentence if an option is unknown or wrong. */
export const readOptions = (args: ReadonlyArray<string>): Options => {
  const text = (value: string) => ({ type: "string", default: value }) as const
  const { values } = parseArgs({
    args: [...args],
    options: {
      write: { type: "boolean", default: false },
      engines: { type: "boolean", default: false },
      realtime: { type: "boolean", default: false },
      start: { type: "boolean", default: false },
      clients: text("1,16,32,64"),
      turns: text("20"),
      seconds: text("6"),
      "warm-seconds": text("90"),
      reply: text(defaultReply),
      ffmpeg: { type: "string" },
      "stt-ms": text(`${hosted.sttMs}`),
      "llm-first-token-ms": text(`${hosted.llmFirstTokenMs}`),
      "llm-tokens-per-second": text(`${hosted.llmTokensPerSecond}`),
      "tts-first-byte-ms": text(`${hosted.ttsFirstByteMs}`),
      "tts-real-time-factor": text(`${hosted.ttsRealTimeFactor}`),
    },
  })
  const number = (name: string, value: string, least: number) => {
    const parsed = Number(value)
    if (value.trim() === "" || !(parsed >= least))
      throw new Error(`--${name} must be a number from ${least}.`)
    return parsed
  }
  const whole = (name: string, value: string) => {
    const parsed = number(name, value, 1)
    if (!Number.isInteger(parsed)) throw new Error(`--${name} must be a whole number.`)
    return parsed
  }
  const duration = (name: keyof typeof latencyOptions) => number(name, values[name], 0)
  // A pace of 0 would never end.
  const pace = (name: keyof typeof latencyOptions) => number(name, values[name], 0.1)
  return {
    write: values.write,
    engines: values.engines,
    realtime: values.realtime,
    start: values.start,
    clients: values.clients.split(",").map((count) => whole("clients", count)),
    least: { turns: whole("turns", values.turns), ms: number("seconds", values.seconds, 0) * 1000 },
    warmMs: number("warm-seconds", values["warm-seconds"], 0) * 1000,
    reply: values.reply,
    ffmpeg: values.ffmpeg,
    latency: {
      sttMs: duration("stt-ms"),
      llmFirstTokenMs: duration("llm-first-token-ms"),
      llmTokensPerSecond: pace("llm-tokens-per-second"),
      ttsFirstByteMs: duration("tts-first-byte-ms"),
      ttsRealTimeFactor: pace("tts-real-time-factor"),
    },
  }
}
