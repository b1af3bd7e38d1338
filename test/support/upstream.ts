/**
 * A server that speaks OpenAI's wire format over real HTTP. By default it answers correctly and at once. It can fail in
 * every way that the real one can.
 *
 *     const upstream = await startUpstream()
 *     upstream.script("llm", [fail.rateLimited(2), { text: "Hello." }])   // one step per call, then the default
 *     await upstream.waitFor(() => upstream.calls("tts")[1], "a second piece")
 *
 * As a separate process, for benchmarks: `bun test/support/upstream.ts --port 9000 --stt-ms 300 …` (see the end).
 */
import { parseArgs } from "node:util"
import { type Exchange, listenHttp } from "./http-socket.ts"
import {
  type Answer,
  answerError,
  answerLlm,
  answerRaw,
  answerStt,
  answerTts,
  rechunk,
} from "./upstream-answers.ts"
import { prepareSpeech } from "./upstream-audio.ts"
import { type Call, type Refusal, type Requests, Watch } from "./upstream-calls.ts"
import { Refused, readLlmRequest, readSttRequest, readTtsRequest } from "./upstream-requests.ts"
import { sendAnswer } from "./upstream-send.ts"
import type { Stage, Step } from "./upstream-steps.ts"

export { DEFAULT_REPLY, DEFAULT_TRANSCRIPT } from "./upstream-answers.ts"
export { SAMPLE_RATE, type Spoken, TONES } from "./upstream-audio.ts"
export type { Call, Outcome, Refusal, Requests, Sent } from "./upstream-calls.ts"
export { fail, type Stage, type Step } from "./upstream-steps.ts"

/** A step, or a function from the request to a step. */
export type Script<S extends Stage> = Step | ((request: Requests[S]) => Step)

/** The latency of a healthy provider. Absent: instant. */
export interface Latency {
  readonly sttMs?: number | undefined
  readonly llmFirstTokenMs?: number | undefined
  readonly llmTokensPerSecond?: number | undefined
  readonly ttsFirstByteMs?: number | undefined
  /** After the first chunk (120 ms of sound) audio comes at so many times the speed at which it plays. */
  readonly ttsRealTimeFactor?: number | undefined
}

export interface Upstream {
  /** Ends in /v1, as OPENAI_BASE_URL does. */
  readonly baseUrl: string
  /** Appends steps, one per call. */
  readonly script: <S extends Stage>(stage: S, steps: readonly Script<S>[]) => void
  /** The step of a call without a scripted one. */
  readonly default: <S extends Stage>(stage: S, step: Script<S>) => void
  /** Fields of a step win over it. */
  readonly latency: (latency: Latency) => void
  readonly calls: <S extends Stage>(stage: S) => readonly Call<Requests[S]>[]
  /** Requests that the real server would refuse. Tests usually expect none. They use up no step. */
  readonly refusals: () => readonly Refusal[]
  readonly openCalls: () => number
  /** TCP connections, idle ones included. */
  readonly openConnections: () => number
  /** Resolves with the first truthy value, looked for after every event; rejects after `timeoutMs` (20,000). */
  readonly waitFor: <T>(look: () => T, what?: string, timeoutMs?: number) => Promise<NonNullable<T>>
  /** Drops open requests, and clears scripts, defaults, latency and calls. */
  readonly reset: () => void
  readonly stop: () => Promise<void>
}

export interface UpstreamOptions {
  readonly port?: number
  readonly host?: string
  /** False for long load tests: calls are forgotten as they end. */
  readonly keepLog?: boolean
}

export const startUpstream = async (options: UpstreamOptions = {}): Promise<Upstream> => {
  const watch = new Watch()
  const keepLog = options.keepLog ?? true
  const open = new Set<Call>()
  let nextId = 0
  let refusals: Refusal[] = []

  /** One endpoint: its parser, its answers, its scripted steps and its calls. */
  const endpoint = <S extends Stage>(
    stage: S,
    read: (request: Exchange["request"]) => Requests[S] | Promise<Requests[S]>,
    answer: (request: Requests[S], step: Step, index: number) => Answer | Promise<Answer>,
  ) => {
    const state = fresh<S>()
    const answerAs = async (step: Step, request: Requests[S]): Promise<Answer> => {
      if (step.error !== undefined) return answerError(step.error)
      if (step.raw !== undefined) return answerRaw(step.raw)
      return answer(request, step, state.index++)
    }
    const serve = async (exchange: Exchange) => {
      const { connection, request: incoming } = exchange
      const { headers } = incoming
      const request = await read(incoming)
      const at = performance.now()
      const scripted = state.queue.shift() ?? state.fallback
      const step = { ...state.pace, ...(typeof scripted === "function" ? scripted(request) : scripted) }
      const id = nextId++
      const call: Call<Requests[S]> = {
        id,
        stage,
        connection,
        request,
        headers,
        at,
        outcome: "open",
        sent: [],
      }
      if (keepLog) state.calls.push(call)
      open.add(call)
      watch.changed()
      const made = await answerAs(step, request)
      if (made.spoken !== undefined) call.spoken = made.spoken
      const size = stage === "tts" ? undefined : step.chunkBytes
      const cut = size === undefined ? made : rechunk(made, size, step.chunkDelayMs ?? 0)
      const final = { ...cut, headers: { ...cut.headers, "x-request-id": `req_${call.id}`, ...step.headers } }
      call.outcome = await sendAnswer(exchange, call, final, step, watch.changed)
      call.endedAt = performance.now()
      open.delete(call)
      watch.changed()
    }
    return { state, serve }
  }

  const endpoints: { [S in Stage]: { state: State<S>; serve: (exchange: Exchange) => Promise<void> } } = {
    stt: endpoint("stt", readSttRequest, answerStt),
    llm: endpoint("llm", readLlmRequest, answerLlm),
    tts: endpoint("tts", readTtsRequest, answerTts),
  }

  const serve = async (exchange: Exchange) => {
    const { method, path, headers } = exchange.request
    try {
      const stage = ROUTES[`${method} ${path}`]
      if (stage === undefined) throw new Refused(404, `Invalid URL (${method} ${path})`)
      if (!headers.authorization?.startsWith("Bearer "))
        throw new Refused(401, "You didn't provide an API key.")
      await endpoints[stage].serve(exchange)
    } catch (error) {
      const status = error instanceof Refused ? error.status : 500
      const message = error instanceof Error ? error.message : String(error)
      refusals.push({ method, path, status, message })
      const { headers: type, parts } = answerError({ status, message })
      const body = Buffer.concat(parts.map(({ bytes }) => bytes))
      exchange.head(status, type, { length: body.length })
      await exchange.send(body)
      exchange.end()
      watch.changed()
    }
  }

  const server = await listenHttp(serve, { ...options, onConnectionClosed: watch.changed })

  return {
    baseUrl: `http://${options.host ?? "127.0.0.1"}:${server.port}/v1`,
    script: (stage, steps) => {
      endpoints[stage].state.queue.push(...steps)
    },
    default: (stage, step) => {
      endpoints[stage].state.fallback = step
    },
    latency: (latency) => {
      const { sttMs, llmFirstTokenMs, llmTokensPerSecond, ttsFirstByteMs, ttsRealTimeFactor } = latency
      endpoints.stt.state.pace = { delayMs: sttMs ?? 0 }
      endpoints.llm.state.pace = {
        delayMs: llmFirstTokenMs ?? 0,
        chunkDelayMs: llmTokensPerSecond === undefined ? 0 : 1000 / llmTokensPerSecond,
      }
      endpoints.tts.state.pace = {
        delayMs: ttsFirstByteMs ?? 0,
        ...(ttsRealTimeFactor === undefined ? {} : { realTimeFactor: ttsRealTimeFactor }),
      }
    },
    calls: (stage) => endpoints[stage].state.calls,
    refusals: () => refusals,
    openCalls: () => open.size,
    openConnections: server.openConnections,
    waitFor: (look, what = String(look), timeoutMs = 20_000) => watch.for(look, what, timeoutMs),
    reset: () => {
      server.drop("busy")
      for (const { state } of Object.values(endpoints)) Object.assign(state, fresh())
      refusals = []
    },
    stop: server.stop,
  }
}

const ROUTES: Readonly<Record<string, Stage>> = {
  "POST /v1/audio/transcriptions": "stt",
  "POST /v1/chat/completions": "llm",
  "POST /v1/audio/speech": "tts",
}

interface State<S extends Stage> {
  queue: Script<S>[]
  fallback: Script<S>
  /** From the latency model. */
  pace: Step
  calls: Call<Requests[S]>[]
  /** Answers made so far. */
  index: number
}

const fresh = <S extends Stage>(): State<S> => ({ queue: [], fallback: {}, pace: {}, calls: [], index: 0 })

if (import.meta.main) {
  const text = { type: "string" } as const
  const { values } = parseArgs({
    options: {
      port: text,
      host: text,
      transcript: text,
      reply: text,
      "stt-ms": text,
      "llm-first-token-ms": text,
      "llm-tokens-per-second": text,
      "tts-first-byte-ms": text,
      "tts-real-time-factor": text,
    },
  })
  const number = (name: Exclude<keyof typeof values, "host" | "transcript" | "reply">) =>
    values[name] === undefined ? undefined : Number(values[name])
  const upstream = await startUpstream({
    keepLog: false,
    port: number("port") ?? 0,
    ...(values.host === undefined ? {} : { host: values.host }),
  })
  if (values.transcript !== undefined) upstream.default("stt", { text: values.transcript })
  if (values.reply !== undefined) upstream.default("llm", { text: values.reply })
  upstream.latency({
    sttMs: number("stt-ms"),
    llmFirstTokenMs: number("llm-first-token-ms"),
    llmTokensPerSecond: number("llm-tokens-per-second"),
    ttsFirstByteMs: number("tts-first-byte-ms"),
    ttsRealTimeFactor: number("tts-real-time-factor"),
  })
  await prepareSpeech()
  console.log(upstream.baseUrl)
}
