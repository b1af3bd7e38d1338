import { Option, Schema } from "effect"
import { withoutLimits } from "../../test/support/limits.ts"
import type { Latency } from "./latency.ts"

/** A program of ours that runs for the bench. */
export interface Program {
  readonly pid: number
  /** That said that it is ready. */
  readonly line: string
  /** The next line that `isWanted` accepts; rejects where the program ends without. */
  readonly says: (isWanted: (line: string) => boolean) => Promise<string>
  /** Ends it, and resolves once it is gone. */
  readonly stop: () => Promise<void>
}

const running = new Set<Bun.Subprocess>()

/** Those that were told to end. */
const stopping = new WeakSet<Bun.Subprocess>()

const stop = async (child: Bun.Subprocess) => {
  stopping.add(child)
  child.kill("SIGTERM")
  await child.exited
}

/** Ends all that was started, and resolves once it is gone. */
export const stopAll = async (): Promise<void> => {
  await Promise.all([...running].map(stop))
}

let closed = false
const closing = Promise.withResolvers<never>()
// Nobody may be waiting.
closing.promise.catch(() => undefined)

/** Whether `close` was called. */
export const isClosed = (): boolean => closed

/** As `stopAll`, and nothing is started any more. */
export const close = (): Promise<void> => {
  closed = true
  closing.reject(new Error("The bench was stopped."))
  return stopAll()
}

/** Waits for so many ms; rejects when `close` was called, or is. */
export const pause = (ms: number): Promise<void> => Promise.race([closing.promise, Bun.sleep(ms)])

const warnings = new Map<string, number>()

const Defect = Schema.parseJson(
  Schema.Struct({ event: Schema.Literal("request.defect"), stack: Schema.String }),
)

/** Of a mistake in the service what there is to know: the errors, and where in its own code. */
const told = (line: string): ReadonlyArray<string> =>
  Option.match(Schema.decodeUnknownOption(Defect)(line), {
    onNone: () => [],
    onSome: ({ stack }) =>
      stack
        .split("\n")
        .filter((each) => !each.startsWith("    at ") || each.includes("/src/"))
        .map((each) => each.trim()),
  })

/** Counts a line of the service's log that tells of a turn tried again, or broken: its figures are not what they seem. */
const noteWarning = (line: string) => {
  if (!/"level":"(warn|error|fatal)"/.test(line)) return
  const fields = ["event", "stage", "code", "reason"].map(
    (name) => RegExp(`"${name}":"([^"]*)"`).exec(line)?.[1],
  )
  const text = [...fields, ...told(line)].filter((field) => field !== undefined).join(" ")
  warnings.set(text, (warnings.get(text) ?? 0) + 1)
}

/** What the service has warned of since this was last asked, each with how often. */
export const takeWarnings = (): ReadonlyMap<string, number> => {
  const taken = new Map(warnings)
  warnings.clear()
  return taken
}

/** All that the programs see of the caller's environment: a key or a base URL in it would send turns to a real provider. */
const passedOn = ["PATH", "HOME", "TMPDIR", "FFMPEG_PATH"]

/** Starts a program and waits until it has printed a line that `isReady` accepts. */
export const startProgram = async (
  command: ReadonlyArray<string>,
  env: Record<string, string>,
  isReady: (line: string) => boolean,
): Promise<Program> => {
  await pause(0)
  const kept = Object.fromEntries(passedOn.map((name) => [name, process.env[name]]))
  const child = Bun.spawn([process.execPath, "--no-env-file", ...command], {
    cwd: new URL("../..", import.meta.url).pathname,
    env: { ...kept, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  })
  running.add(child)
  void child.exited.then((code) => {
    if (!stopping.has(child))
      console.error(`${command.join(" ")} ended unasked, with ${child.signalCode ?? code}.`)
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
  // To the end, so that the program never waits for a full pipe.
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

/** The options by which both the bench and the upstream are told a latency. */
export const latencyOptions = {
  "stt-ms": "sttMs",
  "llm-first-token-ms": "llmFirstTokenMs",
  "llm-tokens-per-second": "llmTokensPerSecond",
  "tts-first-byte-ms": "ttsFirstByteMs",
  "tts-real-time-factor": "ttsRealTimeFactor",
} as const satisfies Record<string, keyof Latency>

/** The scripted upstream; its line is its base URL. */
export const startUpstream = (latency: Latency, reply: string): Promise<Program> => {
  const options = Object.entries(latencyOptions).flatMap(([option, name]) =>
    // A rate that is not given is at once.
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

/** The service as it runs in production, on the embedded PostgreSQL and without limits, unless `env` says otherwise. */
export const startService = async (
  upstreamUrl: string,
  env: Record<string, string> = {},
): Promise<Service> => {
  const service = await startProgram(
    ["src/main.ts"],
    {
      NODE_ENV: "production",
      OPENAI_API_KEY: "sk-bench",
      OPENAI_BASE_URL: upstreamUrl,
      DATA_DIR: ".data/bench",
      HOST: "127.0.0.1",
      PORT: "0",
      LOG_DIR: "",
      ...withoutLimits,
      // Whoever presses Ctrl-C does not want to wait for the turns in flight.
      SHUTDOWN_TIMEOUT_SECONDS: "1",
      ...env,
    },
    (line) => line.includes("server.listening"),
  )
  const url = /http:\/\/[\w.]+:\d+/.exec(service.line)?.[0]
  return { ...service, api: `${url}/api/v1` }
}

const Registered = Schema.Struct({ apiKey: Schema.String })

/** A new user's key. */
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
