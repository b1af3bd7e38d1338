import { Schema } from "effect"
import { withoutLimits } from "../../test/support/limits.ts"
import type { Latency } from "./latency.ts"

/** A program of ours that runs for the bench, and the line that said that it is ready. */
interface Program {
  readonly pid: number
  readonly line: string
}

const running = new Set<Bun.Subprocess>()

let isStopping = false

/** Ends all that was started, and resolves once it is gone. */
export const stopAll = async (): Promise<void> => {
  isStopping = true
  for (const child of running) child.kill("SIGTERM")
  await Promise.all([...running].map((child) => child.exited))
  isStopping = false
}

let isClosed = false

/** As `stopAll`, and nothing is started any more. */
export const close = (): Promise<void> => {
  isClosed = true
  return stopAll()
}

const warnings = new Map<string, number>()

/** Counts a line of the service's log that tells of a turn tried again, or broken: its figures are not what they seem. */
const noteWarning = (line: string) => {
  const isOne = !isStopping && /"level":"(warn|error|fatal)"/.test(line)
  if (!isOne) return
  const fields = ["event", "stage", "code", "reason"].map(
    (name) => RegExp(`"${name}":"([^"]*)"`).exec(line)?.[1],
  )
  const text = fields.filter((field) => field !== undefined).join(" ")
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
const startProgram = async (
  command: ReadonlyArray<string>,
  env: Record<string, string>,
  isReady: (line: string) => boolean,
): Promise<Program> => {
  if (isClosed) throw new Error("The bench was stopped.")
  const kept = Object.fromEntries(passedOn.map((name) => [name, process.env[name]]))
  const child = Bun.spawn([process.execPath, "--no-env-file", ...command], {
    cwd: new URL("../..", import.meta.url).pathname,
    env: { ...kept, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  })
  running.add(child)
  void child.exited.then((code) => {
    if (!isStopping) console.error(`${command.join(" ")} ended unasked, with ${child.signalCode ?? code}.`)
    running.delete(child)
  })
  const ready = Promise.withResolvers<Program>()
  // To the end, so that the program never waits for a full pipe.
  const read = async () => {
    let rest = ""
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = `${rest}${text}`.split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines) {
        if (isReady(line)) ready.resolve({ pid: child.pid, line })
        noteWarning(line)
      }
    }
    ready.reject(new Error(`${command.join(" ")} ended before it was ready.`))
  }
  void read()
  return ready.promise
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

/** The service as it runs in production, on the embedded PostgreSQL. */
export const startService = async (
  upstreamUrl: string,
  limits: Record<string, string> = withoutLimits,
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
      ...limits,
      // Whoever presses Ctrl-C does not want to wait for the turns in flight.
      SHUTDOWN_TIMEOUT_SECONDS: "1",
    },
    (line) => line.includes("listening"),
  )
  const url = /http:\/\/[\w.]+:\d+/.exec(service.line)?.[0]
  return { ...service, api: `${url}/api/v1` }
}

const Registered = Schema.Struct({ apiKey: Schema.String })

/** A new user's key. */
export const register = async (api: string): Promise<string> => {
  const answer = await fetch(`${api}/users/register`, {
    method: "POST",
    body: new URLSearchParams({ email: `bench-${crypto.randomUUID()}@example.com` }),
  })
  return Schema.decodeUnknownSync(Registered)(await answer.json()).apiKey
}
