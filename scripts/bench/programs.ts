import { join } from "node:path"
import { Option, Schema } from "effect"
import { withoutLimits } from "../../test/support/limits.ts"
import type { Latency } from "./latency.ts"

/** A program that the benchmark started. */
export interface Program {
  readonly pid: number
  /** The line that said that it is ready. */
  readonly line: string
  /** The next line that `isWanted` accepts. Rejects if the program ends before. */
  readonly says: (isWanted: (line: string) => boolean) => Promise<string>
  /** Ends it. Resolves when it has ended. */
  readonly stop: () => Promise<void>
}

const running = new Set<Bun.Subprocess>()

/** Programs that are stopping. */
const stopping = new WeakSet<Bun.Subprocess>()

const stop = async (child: Bun.Subprocess) => {
  stopping.add(child)
  child.kill("SIGTERM")
  await child.exited
}

/** Ends every program. Resolves when all have ended. */
export const stopAll = async (): Promise<void> => {
  await Promise.all([...running].map(stop))
}

let closed = false
const closing = Promise.withResolvers<never>()
// Without this, a rejection that nobody awaits would end the process.
closing.promise.catch(() => undefined)

/** Whether `close` was called. */
export const isClosed = (): boolean => closed

/** Like `stopAll`, and no further program starts. */
export const close = (): Promise<void> => {
  closed = true
  closing.reject(new Error("The bench was stopped."))
  return stopAll()
}

/** Waits for `ms`. Rejects when `close` is called, or was. */
export const pause = (ms: number): Promise<void> => Promise.race([closing.promise, Bun.sleep(ms)])

const warnings = new Map<string, number>()

const Defect = Schema.parseJson(
  Schema.Struct({ event: Schema.Literal("request.defect"), stack: Schema.String }),
)

/** The useful lines of a defect: the errors, and their places in the service's code. */
const told = (line: string): ReadonlyArray<string> =>
  Option.match(Schema.decodeUnknownOption(Defect)(line), {
    onNone: () => [],
    onSome: ({ stack }) =>
      stack
        .split("\n")
        .filter((each) => !each.startsWith("    at ") || each.includes("/src/"))
        .map((each) => each.trim()),
  })

/** Counts warnings of the service's log, such as retries and broken turns, which distort the figures. */
const noteWarning = (line: string) => {
  if (!/"level":"(warn|error|fatal)"/.test(line)) return
  const fields = ["event", "stage", "code", "reason"].map(
    (name) => RegExp(`"${name}":"([^"]*)"`).exec(line)?.[1],
  )
  const text = [...fields, ...told(line)].filter((field) => field !== undefined).join(" ")
  warnings.set(text, (warnings.get(text) ?? 0) + 1)
}

/** The warnings since the last call, with their counts. */
export const takeWarnings = (): ReadonlyMap<string, number> => {
  const taken = new Map(warnings)
  warnings.clear()
  return taken
}

/** The variables that programs inherit. A key or a base URL would send turns to a real provider. */
const passedOn = ["PATH", "HOME", "TMPDIR", "FFMPEG_PATH"]

/** Starts a program and waits for a line that `isReady` accepts. */
export const startProgram = async (
  command: ReadonlyArray<string>,
  env: Record<string, string>,
  isReady: (line: string) => boolean,
): Promise<Program> => {
  await pause(0)
  const kept = Object.fromEntries(passedOn.map((name) => [name, process.env[name]]))
  const child = Bun.spawn([process.execPath, "--no-env-file", ...command], {
    cwd: join(import.meta.dir, "../.."),
    env: { ...kept, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  })
  running.add(child)
  void child.exited.then((code) => {
    if (!stopping.has(child))
      console.error(`${command.join(" ")} ended unexpectedly, with ${child.signalCode ?? code}.`)
    running.delete(child)
  })
  const waiting = new Set<{
    readonly isWanted: (line: string) => boolean
    readonly said: PromiseWithResolvers<string>
  }>()
  let isOver = false
  const says: Program["says"] = (isWanted) => {
    const said = Promise.withResolvers<string>()
    if (isOver) said.reject(new Error(`${command.join(" ")} has ended.`))
    else waiting.add({ isWanted, said })
    return said.promise
  }
  // To the end, so that the pipe is never full.
  const read = async () => {
    let rest = ""
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = `${rest}${text}`.split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines) {
        for (const each of waiting) {
          if (!each.isWanted(line)) continue
          waiting.delete(each)
          each.said.resolve(line)
        }
        if (!stopping.has(child)) noteWarning(line)
      }
    }
    isOver = true
    for (const { said } of waiting) said.reject(new Error(`${command.join(" ")} ended.`))
  }
  const ready = says(isReady)
  void read()
  return { pid: child.pid, line: await ready, says, stop: () => stop(child) }
}

/** The options for a latency, of both the benchmark and the upstream. */
export const latencyOptions = {
  "stt-ms": "sttMs",
  "llm-first-token-ms": "llmFirstTokenMs",
  "llm-tokens-per-second": "llmTokensPerSecond",
  "tts-first-byte-ms": "ttsFirstByteMs",
  "tts-real-time-factor": "ttsRealTimeFactor",
} as const satisfies Record<string, keyof Latency>

/** Starts the scripted upstream, which prints its base URL. */
export const startUpstream = (latency: Latency, reply: string): Promise<Program> => {
  const options = Object.entries(latencyOptions).flatMap(([option, name]) =>
    // Without a rate, everything is sent at once.
    Number.isFinite(latency[name]) ? [`--${option}`, `${latency[name]}`] : [],
  )
  return startProgram(["test/support/upstream.ts", "--reply", reply, ...options], {}, (line) =>
    line.startsWith("http"),
  )
}

export interface Service extends Program {
  /** Ends in /api/v1. */
  readonly api: string
}

/** The setting of another ffmpeg. */
export const ffmpegOf = (path: string | undefined): Record<string, string> =>
  path === undefined ? {} : { FFMPEG_PATH: path }

/** What the service's launcher sets for Bun. */
const runtimeSettings = async (): Promise<Record<string, string>> => {
  const launcher = await Bun.file(join(import.meta.dir, "../../voice-agent")).text()
  return Object.fromEntries(
    [...launcher.matchAll(/^export (\w+)="\$\{\1:-(\w+)\}"$/gm)].map(([, name = "", value = ""]) => [
      name,
      value,
    ]),
  )
}

/** Starts the service as in production, on the embedded PostgreSQL and without limits. `env` overrides. */
export const startService = async (
  upstreamUrl: string,
  env: Record<string, string> = {},
  /** Arguments of Bun, before the service's file. */
  bunArgs: ReadonlyArray<string> = [],
): Promise<Service> => {
  const service = await startProgram(
    [...bunArgs, "src/main.ts"],
    {
      NODE_ENV: "production",
      OPENAI_API_KEY: "sk-bench",
      OPENAI_BASE_URL: upstreamUrl,
      DATA_DIR: ".data/bench",
      HOST: "127.0.0.1",
      PORT: "0",
      LOG_DIR: "",
      ...withoutLimits,
      // Ctrl-C should not wait for running turns.
      SHUTDOWN_TIMEOUT_SECONDS: "1",
      ...(await runtimeSettings()),
      ...env,
    },
    (line) => line.includes("server.listening"),
  )
  const url = /http:\/\/[\w.]+:\d+/.exec(service.line)?.[0]
  return { ...service, api: `${url}/api/v1` }
}

const Registered = Schema.Struct({ apiKey: Schema.String })

/** Registers a user. Returns the API key. */
export const register = async (
  api: string,
  email = `bench-${crypto.randomUUID()}@example.com`,
): Promise<string> => {
  const answer = await fetch(`${api}/users/register`, {
    method: "POST",
    // A connection that waits for another call would be counted as one that is left.
    headers: { connection: "close" },
    body: new URLSearchParams({ email }),
  })
  return Schema.decodeUnknownSync(Registered)(await answer.json()).apiKey
}
