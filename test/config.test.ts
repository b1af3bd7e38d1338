import { describe, expect, test } from "bun:test"
import { ConfigProvider, Context, Duration, Effect, Either, Layer, Option, Redacted } from "effect"
import {
  defaultMaxRealtimeSessions,
  defaultMaxTurns,
  defaultMaxUploads,
  hostResources,
} from "../src/capacity.ts"
import { explainConfigError, Settings, type StageSettings } from "../src/config.ts"
import { wav16k } from "./support/audio.ts"
import { startService } from "./support/service.ts"
import { startUpstream } from "./support/upstream.ts"

/** The settings of these variables, or the error. */
const read = (env: Record<string, string>): Either.Either<Settings["Type"], string> =>
  Layer.build(Settings.layer).pipe(
    Effect.map(Context.get(Settings)),
    Effect.mapError(explainConfigError),
    Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(env)))),
    Effect.scoped,
    Effect.either,
    Effect.runSync,
  )

const settings = (env: Record<string, string> = {}) =>
  Either.getOrThrowWith(read(env), (said) => new Error(said))
const refusal = (env: Record<string, string>) => Either.getOrThrow(Either.flip(read(env)))

const offline = (model: string, seconds: number) => ({
  engine: "offline",
  baseUrl: Option.none(),
  keyHeader: Option.none(),
  model,
  omit: [],
  extraBody: {},
  timeout: Duration.seconds(seconds),
})
const defaults = {
  environment: "development",
  stt: offline("whisper-1", 30),
  sttLanguage: Option.none(),
  sttResponseFormat: Option.none(),
  llm: offline("gpt-3.5-turbo", 10),
  llmMaxTokens: Option.some(500),
  llmTemperature: Option.some(0.7),
  ollama: true,
  ollamaUrl: Option.none(),
  llmThinkingTimeout: Duration.seconds(60),
  tts: offline("tts-1", 10),
  ttsVoice: "alloy",
  ttsMaxCharacters: Option.none(),
  ttsFormat: Option.none(),
  systemPrompt: Option.some(
    "You are a helpful voice assistant. Keep responses concise and natural for voice conversation. Maximum 2-3 sentences.",
  ),
  contextMessages: 20,
  contextSummaries: true,
  contextTokens: 3000,
  turnTimeout: Duration.seconds(60),
  databaseUrl: Option.none(),
  databasePoolSize: 20,
  dataDir: ".data",
  encryptionKey: Option.none(),
  encryptionPreviousKeys: Redacted.make([]),
  mcpStdioServers: Redacted.make({}),
  outbound: { allowedNetworks: [], blockedNetworks: [], isHttpAllowed: false },
  port: 3000,
  host: "0.0.0.0",
  shutdownTimeout: Duration.seconds(30),
  warmUpTurns: 3,
  registration: { mode: "open" },
  corsOrigins: ["*"],
  logLevel: "info",
  logDir: Option.some("logs"),
  ffmpegPath: "ffmpeg",
  ffmpegWarm: 2,
  maxAudioBytes: 25 * 1024 * 1024,
  maxAudioSeconds: 300,
  agents: { sttModels: [], llmModels: [], ttsModels: [], voices: [] },
  interruption: { minMs: 200, minWords: 0, maxBackchannelMs: 600 },
  maxTurns: defaultMaxTurns(hostResources()),
  maxTurnsPerUser: 4,
  rateLimits: { turns: 30, requests: 300, registrations: 20, logins: 30, wrongKeys: 20 },
  trustedProxies: [],
  turnQueueTimeout: Duration.seconds(2),
  turnQueueLength: 64,
  sessionTimeout: Duration.minutes(30),
  sessionRetentionDays: 0,
  breakerFailures: 5,
  breakerPause: Duration.seconds(10),
  silenceDbfs: -60,
  metrics: { port: Option.none(), host: "127.0.0.1" },
  otlp: { endpoint: Option.none(), headers: Redacted.make({}), serviceName: "voice-agent" },
  uploadTimeout: Duration.seconds(120),
  uploadMinRate: 1024,
  maxUploads: defaultMaxUploads(hostResources()),
  maxRealtimeSessions: defaultMaxRealtimeSessions(hostResources()),
  maxRealtimeSessionsPerUser: 32,
  realtimeVoices: [],
  realtimeSpeculative: false,
  realtimeSession: Duration.minutes(60),
  realtimeIdle: Duration.minutes(15),
  realtimePing: Duration.seconds(20),
  realtimeMessageBytes: 21 * 1024 * 1024,
  realtimeQueueBytes: 8 * 1024 * 1024,
  tools: {
    builtIn: ["time"],
    maxRounds: 8,
    callTimeout: Duration.seconds(20),
    fillerAfter: Duration.seconds(1.2),
    filler: Option.none(),
  },
  usage: { prices: { currency: "USD", models: {} }, monthlyLimit: Option.none() },
  uploadSpace: Option.none(),
  clientTimeout: Duration.seconds(60),
}

test("every setting has a default", () => {
  expect(settings()).toMatchObject(defaults)
  expect(Object.keys(settings()).toSorted()).toEqual(Object.keys(defaults).toSorted())
})

/** Each variable: a valid value and its setting, and wrong values with the end of "NAME must be …". */
const variables: Record<
  string,
  { readonly right: readonly [string, object]; readonly wrong?: readonly [ReadonlyArray<string>, string] }
> = {
  OPENAI_API_KEY: {
    right: [" sk-1 ", { stt: { engine: "openai" } }],
    wrong: [["sk 1", "sk-ключ", "sk\n1"], "one word of visible ASCII"],
  },
  OPENAI_BASE_URL: {
    right: [
      "http://localhost:11434/v1/",
      { llm: { engine: "compatible", baseUrl: Option.some("http://localhost:11434/v1") } },
    ],
    wrong: [
      ["localhost:11434", "ftp://localhost", "http:localhost", "https://"],
      "a URL that starts with http:// or https://",
    ],
  },
  STT_MODEL: { right: ["large-v3", { stt: { model: "large-v3" } }] },
  STT_LANGUAGE: { right: ["de", { sttLanguage: Option.some("de") }] },
  STT_RESPONSE_FORMAT: {
    right: ["json", { sttResponseFormat: Option.some("json") }],
    wrong: [["srt"], "one of verbose_json, json, text"],
  },
  LLM_API_KEY_HEADER: {
    right: ["api-key", { llm: { keyHeader: Option.some("api-key") } }],
    wrong: [["api key", "api-key:"], "the name of a header"],
  },
  LLM_OMIT: {
    right: ["temperature, stream_options", { llm: { omit: ["temperature", "stream_options"] } }],
    wrong: [["temperature,", "a b"], "a comma-separated list of field names"],
  },
  LLM_EXTRA_BODY: {
    right: ['{"reasoning_effort":"low"}', { llm: { extraBody: { reasoning_effort: "low" } } }],
    wrong: [
      ["low", '"low"', "[]", '{"a":1', '{"model":"x"}', '{"messages":[]}', '{"stream":false}'],
      "a JSON object without the fields model, messages, stream, input, file",
    ],
  },
  STT_TIMEOUT_SECONDS: {
    right: ["2.5", { stt: { timeout: Duration.seconds(2.5) } }],
    wrong: [["0", "-1", "601", "ten", "1s", "NaN", "Infinity"], "a number from 0.1 to 600"],
  },
  LLM_MODEL: { right: ["llama3.2:3b", { llm: { model: "llama3.2:3b" } }] },
  LLM_TIMEOUT_SECONDS: {
    right: ["3", { llm: { timeout: Duration.seconds(3) } }],
    wrong: [["x"], "a number"],
  },
  LLM_MAX_TOKENS: {
    right: ["1", { llmMaxTokens: Option.some(1) }],
    wrong: [["0", "1.5", "many"], "a whole number from 1 to 100000, or none"],
  },
  PRICES: {
    right: [
      '{"currency":"EUR","models":{"tts-1":{"perMillionCharacters":15}}}',
      { usage: { prices: { currency: "EUR", models: { "tts-1": { perMillionCharacters: 15 } } } } },
    ],
    wrong: [
      ["{}", "/nowhere/prices.json", '{"models":{"tts-1":{"perCharacter":1}}}'],
      "a table of prices as JSON, or the path of a file with it, but ",
    ],
  },
  MONTHLY_LIMIT: {
    right: ["2.5", { usage: { monthlyLimit: Option.some(2.5) } }],
    wrong: [["-1", "5 USD", "Infinity"], "a number from 0 to 1000000000, or none"],
  },
  OLLAMA: { right: ["off", { ollama: false }], wrong: [["maybe"], "one of true, false"] },
  OLLAMA_HOST: {
    right: ["gpu:8080", { ollamaUrl: Option.some("http://gpu:8080") }],
    wrong: [["gpu:port", "http://", "a b"], "an address such as 127.0.0.1:11434"],
  },
  LLM_TEMPERATURE: {
    right: ["0", { llmTemperature: Option.some(0) }],
    wrong: [["-0.1", "2.1", "hot"], "a number from 0 to 2, or none"],
  },
  TTS_MODEL: { right: ["kokoro", { tts: { model: "kokoro" } }] },
  TTS_TIMEOUT_SECONDS: {
    right: ["3", { tts: { timeout: Duration.seconds(3) } }],
    wrong: [["x"], "a number"],
  },
  AGENT_STT_MODELS: {
    right: [" a, b ", { agents: { sttModels: ["a", "b"] } }],
    wrong: [["a,,b"], "a comma-separated list of names such as gpt-4o, gpt-4o-mini"],
  },
  AGENT_LLM_MODELS: {
    right: [" a, b ", { agents: { llmModels: ["a", "b"] } }],
    wrong: [["a,,b"], "a comma-separated list of names such as gpt-4o, gpt-4o-mini"],
  },
  AGENT_TTS_MODELS: {
    right: [" a, b ", { agents: { ttsModels: ["a", "b"] } }],
    wrong: [["a,,b"], "a comma-separated list of names such as gpt-4o, gpt-4o-mini"],
  },
  AGENT_VOICES: {
    right: [" a, b ", { agents: { voices: ["a", "b"] } }],
    wrong: [["a,,b"], "a comma-separated list of names such as gpt-4o, gpt-4o-mini"],
  },
  TTS_VOICE: { right: ["nova", { ttsVoice: "nova" }] },
  TTS_MAX_CHARACTERS: {
    right: ["200", { ttsMaxCharacters: Option.some(200) }],
    wrong: [["49", "4097", "many"], "a whole number from 50 to 4096"],
  },
  TTS_FORMAT: {
    right: ["wav", { ttsFormat: Option.some("wav") }],
    wrong: [["ogg", "WAV 24"], "one of mp3, opus, aac, flac, wav, pcm"],
  },
  SYSTEM_PROMPT: { right: ["Be brief.", { systemPrompt: Option.some("Be brief.") }] },
  CONTEXT_MESSAGES: {
    right: ["0", { contextMessages: 0 }],
    wrong: [["-2", "1001"], "a whole number from 0 to 1000"],
  },
  CONTEXT_SUMMARIES: { right: ["off", { contextSummaries: false }], wrong: [["2"], "one of true, false"] },
  CONTEXT_TOKENS: { right: ["0", { contextTokens: 0 }], wrong: [["-2"], "a whole number from 0 to 1000000"] },
  BUILT_IN_TOOLS: {
    right: ["memory, Time", { tools: { builtIn: ["memory", "time"] } }],
    wrong: [["clock", "time;memory", "time,"], "a comma-separated list of time, memory, or none"],
  },
  TOOL_MAX_ROUNDS: {
    right: ["2", { tools: { maxRounds: 2 } }],
    wrong: [["1", "51"], "a whole number from 2 to 50"],
  },
  TOOL_TIMEOUT_SECONDS: {
    right: ["5", { tools: { callTimeout: Duration.seconds(5) } }],
    wrong: [["0"], "a number from 0.1 to 600"],
  },
  TOOL_FILLER_SECONDS: {
    right: ["0", { tools: { fillerAfter: Duration.zero } }],
    wrong: [["-1", "61"], "a number from 0 to 60"],
  },
  TOOL_FILLER: { right: ["Hold on.", { tools: { filler: Option.some("Hold on.") } }] },
  BREAKER_FAILURES: {
    right: ["0", { breakerFailures: 0 }],
    wrong: [["-1", "1001"], "a whole number from 0 to 1000"],
  },
  BREAKER_SECONDS: {
    right: ["3", { breakerPause: Duration.seconds(3) }],
    wrong: [["0"], "a number from 0.1 to 600"],
  },
  TURN_TIMEOUT_SECONDS: {
    right: ["90", { turnTimeout: Duration.seconds(90) }],
    wrong: [["0"], "a number from 0.1 to 600"],
  },
  OFFLINE_ENGINES: {
    right: ["ON", { stt: { engine: "offline" } }],
    wrong: [["maybe"], "one of true, false, 1, 0, on, off, yes, no"],
  },
  DATABASE_POOL_SIZE: {
    right: ["5", { databasePoolSize: 5 }],
    wrong: [["0", "1001"], "a whole number from 1 to 1000"],
  },
  DATA_DIR: { right: ["/data", { dataDir: "/data" }] },
  PORT: {
    right: ["0", { port: 0 }],
    wrong: [["65536", "-1", "80.5", "http"], "a whole number from 0 to 65535"],
  },
  HOST: { right: ["::1", { host: "::1" }] },
  SHUTDOWN_TIMEOUT_SECONDS: {
    right: ["8", { shutdownTimeout: Duration.seconds(8) }],
    wrong: [["0"], "a number from 0.1 to 600"],
  },
  WARM_UP_TURNS: {
    right: ["0", { warmUpTurns: 0 }],
    wrong: [["-1", "101", "1.5"], "a whole number from 0 to 100"],
  },
  REGISTRATION: {
    right: ["Closed", { registration: { mode: "closed" } }],
    wrong: [["maybe"], "one of open, token, closed"],
  },
  REGISTRATION_TOKEN: {
    right: ["hush", { registration: { mode: "open" } }],
    wrong: [["hush hush", "тише"], "one word of visible ASCII"],
  },
  CORS_ORIGIN: {
    right: [
      "https://a.example/, http://b.example:8080",
      { corsOrigins: ["https://a.example", "http://b.example:8080"] },
    ],
    wrong: [
      ["a.example", "https://a.example/path", "https://a.example,"],
      '"*" or a comma-separated list of origins',
    ],
  },
  NODE_ENV: {
    right: ["Test", { environment: "test" }],
    wrong: [["prod"], "one of development, production, test"],
  },
  LOG_LEVEL: {
    right: ["WARN", { logLevel: "warn" }],
    wrong: [["loud"], "one of debug, info, warn, error, none"],
  },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    right: ["http://collector:4318/", { otlp: { endpoint: Option.some("http://collector:4318") } }],
    wrong: [["collector:4318"], "a URL that starts with http:// or https://"],
  },
  OTEL_EXPORTER_OTLP_HEADERS: {
    right: [
      "authorization=Bearer%20k%3D, x-team = voice",
      { otlp: { headers: Redacted.make({ authorization: "Bearer k=", "x-team": "voice" }) } },
    ],
    wrong: [["authorization", "a=1,,b=2", "a=%", "a b=1"], "a comma-separated list of name=value"],
  },
  OTEL_SERVICE_NAME: { right: ["speaker", { otlp: { serviceName: "speaker" } }] },
  LOG_DIR: { right: ["/var/log/voice", { logDir: Option.some("/var/log/voice") }] },
  FFMPEG_PATH: { right: ["/opt/ffmpeg", { ffmpegPath: "/opt/ffmpeg" }] },
  FFMPEG_WARM: {
    right: ["0", { ffmpegWarm: 0 }],
    wrong: [["-1", "3", "1.5", "on"], "a whole number from 0 to 2"],
  },
  MAX_AUDIO_SIZE_MB: {
    right: ["0.5", { maxAudioBytes: 512 * 1024 }],
    wrong: [["0", "2049"], "a number from 0.001 to 2048"],
  },
  UPLOAD_TIMEOUT_SECONDS: {
    right: ["9", { uploadTimeout: Duration.seconds(9) }],
    wrong: [["0"], "a number from 0.1 to 600"],
  },
  UPLOAD_MIN_KB_PER_SECOND: {
    right: ["0.5", { uploadMinRate: 512 }],
    wrong: [["-1", "slow"], "a number from 0 to 1024"],
  },
  MAX_UPLOADS: { right: ["0", { maxUploads: 0 }], wrong: [["-1", "1.5"], "a whole number from 0 to 100000"] },
  REALTIME_MAX_SESSIONS: {
    right: ["0", { maxRealtimeSessions: 0 }],
    wrong: [["-1", "1.5"], "a whole number from 0 to 100000"],
  },
  REALTIME_MAX_SESSIONS_PER_USER: {
    right: ["0", { maxRealtimeSessionsPerUser: 0 }],
    wrong: [["-1", "1.5"], "a whole number from 0 to 100000"],
  },
  REALTIME_SESSION_MINUTES: {
    right: ["30", { realtimeSession: Duration.minutes(30) }],
    wrong: [["0", "1441"], "a number from 0.001 to 1440"],
  },
  REALTIME_IDLE_MINUTES: {
    right: ["0", { realtimeIdle: Duration.zero }],
    wrong: [["-1", "1441"], "a number from 0 to 1440"],
  },
  REALTIME_PING_SECONDS: {
    right: ["5", { realtimePing: Duration.seconds(5) }],
    wrong: [["0"], "a number from 0.1 to 600"],
  },
  REALTIME_MAX_MESSAGE_MB: {
    right: ["1", { realtimeMessageBytes: 1024 ** 2 }],
    wrong: [["0", "129"], "a number from 0.001 to 128"],
  },
  REALTIME_SPECULATIVE: {
    right: ["true", { realtimeSpeculative: true }],
    wrong: [["maybe"], "one of true, false, 1, 0, on, off, yes, no"],
  },
  REALTIME_MAX_QUEUE_MB: {
    right: ["1", { realtimeQueueBytes: 1024 ** 2 }],
    wrong: [["0", "1025"], "a number from 0.001 to 1024"],
  },
  UPLOAD_SPACE_MB: {
    right: ["1", { uploadSpace: Option.some(1024 ** 2) }],
    wrong: [["-1", "all"], "a number from 0 to 100000000"],
  },
  LISTENER_TIMEOUT_SECONDS: {
    right: ["9", { clientTimeout: Duration.seconds(9) }],
    wrong: [["0"], "a number from 0.1 to 600"],
  },
  SILENCE_DBFS: {
    right: ["-42.5", { silenceDbfs: -42.5 }],
    wrong: [["1", "-121", "quiet"], "a number from -120 to 0"],
  },
  MAX_AUDIO_DURATION_SECONDS: {
    right: ["10", { maxAudioSeconds: 10 }],
    wrong: [["0"], "a number from 0.1 to 86400"],
  },
  REALTIME_INTERRUPTION_MIN_MS: {
    right: ["0", { interruption: { minMs: 0 } }],
    wrong: [["-1", "1.5", "10001"], "a whole number from 0 to 10000"],
  },
  REALTIME_INTERRUPTION_MIN_WORDS: {
    right: ["2", { interruption: { minWords: 2 } }],
    wrong: [["-1", "21"], "a whole number from 0 to 20"],
  },
  REALTIME_BACKCHANNEL_MAX_MS: {
    right: ["0", { interruption: { maxBackchannelMs: 0 } }],
    wrong: [["-1", "10001"], "a whole number from 0 to 10000"],
  },
  MAX_TURNS: { right: ["0", { maxTurns: 0 }], wrong: [["-1", "1.5"], "a whole number from 0 to 100000"] },
  MAX_TURNS_PER_USER: {
    right: ["0", { maxTurnsPerUser: 0 }],
    wrong: [["-1", "many"], "a whole number from 0 to 100000"],
  },
  RATE_LIMIT_TURNS_PER_MINUTE: {
    right: ["0", { rateLimits: { turns: 0 } }],
    wrong: [["-1", "0.5"], "a whole number from 0 to 1000000"],
  },
  RATE_LIMIT_REQUESTS_PER_MINUTE: {
    right: ["1", { rateLimits: { requests: 1 } }],
    wrong: [["-1"], "a whole number"],
  },
  RATE_LIMIT_REGISTRATIONS_PER_HOUR: {
    right: ["2", { rateLimits: { registrations: 2 } }],
    wrong: [["-1"], "a whole number"],
  },
  RATE_LIMIT_LOGINS_PER_MINUTE: {
    right: ["3", { rateLimits: { logins: 3 } }],
    wrong: [["-1"], "a whole number"],
  },
  RATE_LIMIT_WRONG_KEYS_PER_MINUTE: {
    right: ["4", { rateLimits: { wrongKeys: 4 } }],
    wrong: [["-1"], "a whole number"],
  },
  TRUSTED_PROXIES: {
    right: ["10.0.0.0/8, ::1,fd00::/8", { trustedProxies: ["10.0.0.0/8", "::1", "fd00::/8"] }],
    wrong: [
      ["*", "proxy.internal", "10.0.0.0/33", "fd00::/129", "10.0.0.1,", "10.0.0.0/8/8", "10.0.0.0/"],
      "a comma-separated list of addresses and networks",
    ],
  },
  TURN_QUEUE_SECONDS: {
    right: ["0", { turnQueueTimeout: Duration.zero }],
    wrong: [["-1", "61"], "a number from 0 to 60"],
  },
  TURN_QUEUE_LENGTH: {
    right: ["0", { turnQueueLength: 0 }],
    wrong: [["-1"], "a whole number from 0 to 100000"],
  },
  SESSION_TIMEOUT_MINUTES: {
    right: ["0.5", { sessionTimeout: Duration.seconds(30) }],
    wrong: [["0"], "a number from 0.001 to 525600"],
  },
  SESSION_RETENTION_DAYS: {
    right: ["30", { sessionRetentionDays: 30 }],
    wrong: [["-1", "never"], "a number from 0 to 36500"],
  },
}

const each = Object.entries(variables).map(([name, { right, wrong }]) => ({ name, right, wrong }))

test.each(each)("$name is read, and an empty value is unset", ({ name, right: [value, expected] }) => {
  expect(settings({ [name]: value })).toMatchObject(expected)
  if (name === "LOG_DIR" || name === "SYSTEM_PROMPT") return
  for (const empty of ["", "  "]) expect(settings({ [name]: empty })).toMatchObject(defaults)
})

test.each(each.flatMap(({ name, wrong }) => (wrong === undefined ? [] : [{ name, wrong }])))(
  "$name is refused if it is wrong",
  ({ name, wrong: [values, must] }) => {
    for (const value of values) {
      const said = refusal({ [name]: value })
      expect(said).toStartWith(`${name} must be ${must}`)
      expect(said).toEndWith(".")
      expect(said).not.toContain("\n")
    }
  },
)

// Unquoted, a shell removes the inner quotes. docker run --env-file keeps the outer ones.
test.each(["{reasoning_effort:minimal}", `'{"a":1}'`, '"{"a":1}"', "low"])(
  "JSON that came as %s gets advice on quotes",
  (value) => {
    for (const name of ["LLM_EXTRA_BODY", "STT_EXTRA_BODY", "TTS_FALLBACK_EXTRA_BODY"]) {
      const said = refusal({ [name]: value })
      expect(said).toEndWith(
        "In a shell or in .env, put it in single quotes; in a file for docker run --env-file, in none.",
      )
    }
  },
)

test("an empty LOG_DIR writes no files", () => {
  for (const empty of ["", " "]) expect(settings({ LOG_DIR: empty }).logDir).toEqual(Option.none())
})

test("an empty SYSTEM_PROMPT, and none for a limit or a temperature, send none", () => {
  const none = { SYSTEM_PROMPT: " ", LLM_MAX_TOKENS: "none", LLM_TEMPERATURE: "None" }
  expect(settings(none)).toMatchObject({
    systemPrompt: Option.none(),
    llmMaxTokens: Option.none(),
    llmTemperature: Option.none(),
  })
})

test("a fallback server has request settings of its own", () => {
  const own = {
    TTS_FALLBACK_BASE_URL: "http://spare/v1",
    TTS_OMIT: "voice",
    TTS_FALLBACK_API_KEY_HEADER: "x-key",
  }
  const { omit, fallback } = settings(own).tts
  expect(omit).toEqual(["voice"])
  expect(fallback).toMatchObject(Option.some({ omit: [], extraBody: {}, keyHeader: Option.some("x-key") }))
})

describe("REGISTRATION=token", () => {
  test("redacts its token", () => {
    const { registration } = settings({ REGISTRATION: "token", REGISTRATION_TOKEN: " hush " })
    expect(registration).toEqual({ mode: "token", token: Redacted.make("hush") })
    expect(JSON.stringify(registration)).not.toContain("hush")
  })

  test("requires REGISTRATION_TOKEN", () => {
    for (const token of [{}, { REGISTRATION_TOKEN: " " }]) {
      expect(refusal({ REGISTRATION: "token", ...token })).toBe(
        "REGISTRATION_TOKEN must be set when REGISTRATION is token.",
      )
    }
  })
})

describe("DATABASE_URL", () => {
  test("is kept as given, and redacted", () => {
    const url = "postgresql://voice:p%40ss@db.example:5433/voice?sslmode=require"
    const { databaseUrl } = settings({ DATABASE_URL: url })
    expect(Option.map(databaseUrl, Redacted.value)).toEqual(Option.some(url))
    expect(JSON.stringify(databaseUrl)).not.toContain("p%40ss")
  })

  test.each([
    "postgres//voice:hush@db/voice",
    "mysql://voice:hush@db/voice",
    "postgres://voice:hush%zz@db/voice",
    "postgres://voice:5#hush@db/voice",
    "postgres://voice:hush@db:port/voice",
  ])("%s is refused without quoting its password", (url) => {
    const said = refusal({ DATABASE_URL: url })
    expect(said).toBe(
      "DATABASE_URL must be postgres://user:password@host:5432/database, with special characters percent-encoded.",
    )
  })
})

test("all errors are reported at once, each once, without secrets", () => {
  const said = refusal({
    PORT: "x".repeat(1000),
    OPENAI_API_KEY: "hush hush",
    STT_API_KEY: "hush hush",
    TTS_BASE_URL: "voice:hush@tts.example",
    LLM_EXTRA_BODY: '{"api_key":"hush",}',
    TTS_EXTRA_BODY: '{"input":"hush"}',
    NODE_ENV: "prod\nforged",
  })
  expect(said).not.toContain("hush")
  expect(said).not.toContain("\n")
  expect(said.length).toBeLessThan(1000)
  const named = [
    "PORT",
    "OPENAI_API_KEY",
    "STT_API_KEY",
    "TTS_BASE_URL",
    "LLM_EXTRA_BODY",
    "TTS_EXTRA_BODY",
    "NODE_ENV",
  ]
  for (const name of named) expect(said.split(`${name} must be `)).toHaveLength(2)
})

test.each([
  ["https://ai.example/v1/?tenant=a/", "https://ai.example/v1?tenant=a/"],
  ["https://ai.example/v1?tenant=a/", "https://ai.example/v1?tenant=a/"],
  ["https://ai.example/?x=1", "https://ai.example?x=1"],
  ["https://ai.example/v1//", "https://ai.example/v1"],
])("the base URL %s keeps its query, and loses the slash of its path", (given, kept) => {
  expect(settings({ OPENAI_BASE_URL: given }).llm.baseUrl).toEqual(Option.some(kept))
})

describe("the server of a stage", () => {
  const stages = (env: Record<string, string>) => {
    const { stt, llm, tts } = settings(env)
    return [stt, llm, tts].map(
      ({ engine, baseUrl, apiKey }: StageSettings) =>
        `${engine} ${Option.getOrElse(baseUrl, () => "-")} ${Redacted.value(apiKey)}`,
    )
  }
  const openAi = "openai https://api.openai.com/v1 sk-1"
  const nothing = "offline - none"

  test.each([
    ["nothing given", {}, [nothing, nothing, nothing]],
    ["a key", { OPENAI_API_KEY: "sk-1" }, [openAi, openAi, openAi]],
    ["a key in production", { OPENAI_API_KEY: "sk-1", NODE_ENV: "production" }, [openAi, openAi, openAi]],
    [
      "a key, and the offline engines on",
      { OPENAI_API_KEY: "sk-1", OFFLINE_ENGINES: "1" },
      [openAi, openAi, openAi],
    ],
    [
      "the offline engines in production",
      { NODE_ENV: "production", OFFLINE_ENGINES: "on" },
      [nothing, nothing, nothing],
    ],
    ["a key for one stage", { LLM_API_KEY: "sk-1" }, [nothing, openAi, nothing]],
    [
      "one server for all",
      { OPENAI_BASE_URL: "https://ai.example/v1/", OPENAI_API_KEY: "sk-1", TTS_API_KEY: "sk-2" },
      [
        "compatible https://ai.example/v1 sk-1",
        "compatible https://ai.example/v1 sk-1",
        "compatible https://ai.example/v1 sk-2",
      ],
    ],
    [
      "a server for one stage never gets the key for OpenAI",
      { OPENAI_API_KEY: "sk-1", STT_BASE_URL: "http://stt:8000/v1///" },
      ["compatible http://stt:8000/v1 none", openAi, openAi],
    ],
    [
      "a server for one stage gets the stage's own key",
      {
        OPENAI_API_KEY: "sk-1",
        OPENAI_BASE_URL: "https://ai.example/v1",
        STT_BASE_URL: "http://stt/v1",
        STT_API_KEY: "sk-2",
      },
      [
        "compatible http://stt/v1 sk-2",
        "compatible https://ai.example/v1 sk-1",
        "compatible https://ai.example/v1 sk-1",
      ],
    ],
    [
      "OpenAI's own base URL",
      { OPENAI_BASE_URL: "https://api.openai.com/v1/", OPENAI_API_KEY: "sk-1" },
      [openAi, openAi, openAi],
    ],
    [
      "empty values",
      { OPENAI_API_KEY: "", STT_BASE_URL: "", TTS_API_KEY: "", OFFLINE_ENGINES: "" },
      [nothing, nothing, nothing],
    ],
  ])("%s", (_, env, expected) => {
    expect(stages(env)).toEqual(expected)
  })

  test.each([
    ["production", { NODE_ENV: "production" }],
    ["the offline engines off", { OFFLINE_ENGINES: "no" }],
    ["one stage left out", { NODE_ENV: "production", STT_API_KEY: "sk-1", LLM_BASE_URL: "http://llm/v1" }],
    ["OpenAI's own base URL without a key", { OPENAI_BASE_URL: "https://api.openai.com/v1" }],
  ])("a missing key is refused: %s", (_, env) => {
    const said = refusal(env)
    expect(said).toStartWith("OPENAI_API_KEY must be set")
    expect(said.split("OPENAI_API_KEY must be set")).toHaveLength(2)
  })

  test("a stage with OpenAI's own URL needs its own key", () => {
    expect(refusal({ OPENAI_API_KEY: "sk-1", TTS_BASE_URL: "https://api.openai.com/v1" })).toStartWith(
      "TTS_API_KEY must be set",
    )
  })
})

test("a stage's own server receives only its own key", async () => {
  const own = await startUpstream()
  const env = {
    OPENAI_API_KEY: "sk-for-openai",
    STT_BASE_URL: `${own.baseUrl}/`,
    TTS_BASE_URL: own.baseUrl,
    TTS_API_KEY: "sk-for-tts",
  }
  const service = await startService({ env })
  const turn = await service.converse(await service.register(), new Blob([await wav16k()]))
  expect(turn.status).toBe(200)
  await turn.bytes()
  expect(own.calls("stt").map(({ headers }) => headers.authorization)).toEqual(["Bearer none"])
  expect(new Set(own.calls("tts").map(({ headers }) => headers.authorization))).toEqual(
    new Set(["Bearer sk-for-tts"]),
  )
  expect(service.upstream.calls("llm").map(({ headers }) => headers.authorization)).toEqual([
    "Bearer sk-for-openai",
  ])
  expect(
    [...own.calls("stt"), ...own.calls("tts")].map(({ headers }) => JSON.stringify(headers)).join(),
  ).not.toContain("sk-for-openai")
  await service.stop()
  await own.stop()
})

test.each([
  ["127.0.0.1", "http://127.0.0.1:11434"],
  ["gpu.example", "http://gpu.example:11434"],
  [":8080", "http://127.0.0.1:8080"],
  ["gpu:80", "http://gpu"],
  ["0.0.0.0", "http://127.0.0.1:11434"],
  ["0.0.0.0:8080", "http://127.0.0.1:8080"],
  ["[::]:8080", "http://127.0.0.1:8080"],
  ["::1", "http://[::1]:11434"],
  ["[::1]:8080", "http://[::1]:8080"],
  ["http://gpu", "http://gpu"],
  ["HTTPS://gpu:444/ollama/", "https://gpu:444/ollama"],
])("OLLAMA_HOST=%s is %s", (value, url) => {
  expect(settings({ OLLAMA_HOST: value }).ollamaUrl).toEqual(Option.some(url))
})
