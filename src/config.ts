import { Config, ConfigError, Context, Duration, Either, Layer, Option, Redacted } from "effect"
import { defaultMaxTurns, defaultMaxUploads, hostResources } from "./capacity.ts"
import {
  databaseUrl,
  flag,
  headerList,
  networks,
  number,
  oneOf,
  optional,
  origins,
  secret,
  text,
  timeout,
  unquoted,
  variable,
  webUrl,
  whole,
} from "./config-checks.ts"

/** A server that one stage of the turn (hearing, thinking, speaking) can ask. */
export interface ServerSettings {
  /** `offline`: the service's own engines; `openai`: api.openai.com; `compatible`: any other base URL. */
  readonly engine: "openai" | "compatible" | "offline"
  /** None for the offline engines, whose port is known only once they run. */
  readonly baseUrl: Option.Option<string>
  readonly apiKey: Redacted.Redacted
  readonly model: string
  /** Per try; what it spans is said at each stage (api.md's "Time-outs per try"). */
  readonly timeout: Duration.Duration
}

/** What one stage runs on; the fallback is asked where the first server gives nothing. */
export interface StageSettings extends ServerSettings {
  readonly fallback: Option.Option<ServerSettings>
}

const shared = Config.all({
  apiKey: secret("OPENAI_API_KEY"),
  baseUrl: webUrl("OPENAI_BASE_URL"),
  environment: variable("NODE_ENV", oneOf("development", "production", "test"), "development"),
  offlineEngines: optional("OFFLINE_ENGINES", flag),
})

const openAiUrl = "https://api.openai.com/v1"

const noKey = Redacted.make("none")

/**
 * A stage's own base URL is asked with the stage's own key only: a key for OpenAI is never sent to another
 * server by accident.
 */
const stage = (
  prefix: "STT" | "LLM" | "TTS",
  defaults: { readonly model: string; readonly seconds: number },
) =>
  Config.all({
    shared,
    apiKey: secret(`${prefix}_API_KEY`),
    baseUrl: webUrl(`${prefix}_BASE_URL`),
    model: variable(`${prefix}_MODEL`, text, defaults.model),
    timeout: timeout(`${prefix}_TIMEOUT_SECONDS`, defaults.seconds),
    fallbackUrl: webUrl(`${prefix}_FALLBACK_BASE_URL`),
    fallbackKey: secret(`${prefix}_FALLBACK_API_KEY`),
    fallbackModel: optional(`${prefix}_FALLBACK_MODEL`, text),
  }).pipe(
    Config.mapOrFail(({ shared, apiKey, baseUrl, model, timeout, ...given }) => {
      const givenUrl = Option.orElse(baseUrl, () => shared.baseUrl)
      const givenKey = Option.isSome(baseUrl) ? apiKey : Option.orElse(apiKey, () => shared.apiKey)
      const fallback = Option.map(
        given.fallbackUrl,
        (url): ServerSettings => ({
          engine: url === openAiUrl ? "openai" : "compatible",
          baseUrl: Option.some(url),
          apiKey: Option.getOrElse(given.fallbackKey, () => noKey),
          model: Option.getOrElse(given.fallbackModel, () => model),
          timeout,
        }),
      )
      const common = { apiKey: Option.getOrElse(givenKey, () => noKey), model, timeout, fallback }
      const chosen = Option.getOrElse(givenUrl, () => openAiUrl)
      if (chosen !== openAiUrl || Option.isSome(givenKey)) {
        const engine = chosen === openAiUrl ? "openai" : "compatible"
        return Either.right<StageSettings>({ ...common, engine, baseUrl: Option.some(chosen) })
      }
      const mayBeOffline = Option.getOrElse(shared.offlineEngines, () => shared.environment !== "production")
      if (Option.isNone(givenUrl) && mayBeOffline) {
        return Either.right<StageSettings>({ ...common, engine: "offline", baseUrl: Option.none() })
      }
      return Either.left(Option.isSome(baseUrl) ? ownKeyMissing(prefix) : keyMissing)
    }),
  )

/** The same for each stage, so that it is said once. */
const keyMissing = ConfigError.InvalidData(
  ["OPENAI_API_KEY"],
  "OPENAI_API_KEY must be set, or each of the stages STT, LLM and TTS needs an API_KEY or BASE_URL of its own, such as STT_API_KEY; OFFLINE_ENGINES=true tries the service without any.",
)

const ownKeyMissing = (prefix: string) =>
  ConfigError.InvalidData(
    [`${prefix}_API_KEY`],
    `${prefix}_API_KEY must be set where ${prefix}_BASE_URL is OpenAI's own: a stage with its own base URL is never sent OPENAI_API_KEY.`,
  )

const systemPrompt =
  "You are a helpful voice assistant. Keep responses concise and natural for voice conversation. Maximum 2-3 sentences."

/** Who may register: anybody, whoever has the token, or nobody by themselves. */
export type Registration =
  | { readonly mode: "open" }
  | { readonly mode: "closed" }
  | { readonly mode: "token"; readonly token: Redacted.Redacted }

const registration = Config.all({
  mode: variable("REGISTRATION", oneOf("open", "token", "closed"), "open"),
  token: secret("REGISTRATION_TOKEN"),
}).pipe(
  Config.mapOrFail(({ mode, token }): Either.Either<Registration, ConfigError.ConfigError> => {
    if (mode !== "token") return Either.right({ mode })
    return Either.fromOption(
      Option.map(token, (token) => ({ mode, token })),
      () =>
        ConfigError.InvalidData(
          ["REGISTRATION_TOKEN"],
          "REGISTRATION_TOKEN must be set where REGISTRATION is token: who registers has to know it.",
        ),
    )
  }),
)

const kilobyte = 1024
const megabyte = 1024 * kilobyte

const all = Config.all({
  environment: Config.map(shared, ({ environment }) => environment),
  stt: stage("STT", { model: "whisper-1", seconds: 30 }),
  sttLanguage: optional("STT_LANGUAGE", text),
  llm: stage("LLM", { model: "gpt-3.5-turbo", seconds: 10 }),
  llmMaxTokens: variable("LLM_MAX_TOKENS", whole(1, 100_000), 500),
  llmTemperature: variable("LLM_TEMPERATURE", number(0, 2), 0.7),
  tts: stage("TTS", { model: "tts-1", seconds: 10 }),
  ttsVoice: variable("TTS_VOICE", text, "alloy"),
  systemPrompt: variable("SYSTEM_PROMPT", text, systemPrompt),
  contextMessages: variable("CONTEXT_MESSAGES", whole(0, 1000), 20),
  /** Estimated tokens of history that the model sees. */
  contextTokens: variable("CONTEXT_TOKENS", whole(0, 1_000_000), 3000),
  /** Failures of a provider in a row, and for how long it is then not asked; 0 failures: it is always asked. */
  breakerFailures: variable("BREAKER_FAILURES", whole(0, 1000), 5),
  breakerPause: timeout("BREAKER_SECONDS", 10),
  /** From the end of the upload to the first audio. */
  turnTimeout: timeout("TURN_TIMEOUT_SECONDS", 60),
  databaseUrl: optional("DATABASE_URL", databaseUrl, unquoted),
  databasePoolSize: variable("DATABASE_POOL_SIZE", whole(1, 1000), 20),
  dataDir: variable("DATA_DIR", text, ".data"),
  port: variable("PORT", whole(0, 65_535), 3000),
  host: variable("HOST", text, "0.0.0.0"),
  /** How long turns in flight may take to finish once the service is told to stop. */
  shutdownTimeout: timeout("SHUTDOWN_TIMEOUT_SECONDS", 30),
  registration,
  corsOrigins: variable("CORS_ORIGIN", origins, ["*"]),
  logLevel: variable("LOG_LEVEL", oneOf("debug", "info", "warn", "error", "none"), "info"),
  /** None: no log files. The one variable whose empty value means something. */
  logDir: Config.string("LOG_DIR").pipe(
    Config.withDefault("logs"),
    Config.map((folder) => (folder.trim() === "" ? Option.none<string>() : Option.some(folder.trim()))),
  ),
  /** Where traces and metrics go, by the names that OpenTelemetry gives these variables; None: nowhere. */
  otlp: Config.all({
    endpoint: webUrl("OTEL_EXPORTER_OTLP_ENDPOINT"),
    headers: variable("OTEL_EXPORTER_OTLP_HEADERS", headerList, Redacted.make({}), unquoted),
    serviceName: variable("OTEL_SERVICE_NAME", text, "voice-agent"),
  }),
  ffmpegPath: variable("FFMPEG_PATH", text, "ffmpeg"),
  /** How long the body of an upload may take, and how long a listener may take nothing of an answer. */
  uploadTimeout: timeout("UPLOAD_TIMEOUT_SECONDS", 120),
  listenerTimeout: timeout("LISTENER_TIMEOUT_SECONDS", 60),
  /** Bytes per second below which an upload is ended; 0: as slow as it likes, within its time. */
  uploadMinRate: variable("UPLOAD_MIN_KB_PER_SECOND", number(0, 1024), 1).pipe(
    Config.map((rate) => rate * kilobyte),
  ),
  /** That arrive at a time, of all users; 0: no bound. */
  maxUploads: variable("MAX_UPLOADS", whole(0, 100_000), defaultMaxUploads(hostResources())),
  /** Bytes that recordings may take of TMPDIR; 0: no bound; None: half of what is free there at the start. */
  uploadSpace: Config.map(
    optional("UPLOAD_SPACE_MB", number(0, 100_000_000)),
    Option.map((size) => Math.floor(size * megabyte)),
  ),
  /** Processes that wait for a recording. */
  ffmpegWarm: variable("FFMPEG_WARM", whole(0, 2), 2),
  maxAudioBytes: variable("MAX_AUDIO_SIZE_MB", number(0.001, 2048), 25).pipe(
    Config.map((size) => Math.floor(size * megabyte)),
  ),
  /** What is nowhere louder is no speech, in dB below full scale; 0 lets everything pass. */
  silenceDbfs: variable("SILENCE_DBFS", number(-120, 0), -60),
  maxAudioSeconds: variable("MAX_AUDIO_DURATION_SECONDS", number(0.1, 86_400), 300),
  /** At a time, of all users; 0: no bound. */
  maxTurns: variable("MAX_TURNS", whole(0, 100_000), defaultMaxTurns(hostResources())),
  /** At a time, of one user; 0: no bound. */
  maxTurnsPerUser: variable("MAX_TURNS_PER_USER", whole(0, 100_000), 4),
  /** Per minute (registrations: per hour), by user or by client network; 0: not limited. */
  rateLimits: Config.all({
    turns: variable("RATE_LIMIT_TURNS_PER_MINUTE", whole(0, 1_000_000), 30),
    requests: variable("RATE_LIMIT_REQUESTS_PER_MINUTE", whole(0, 1_000_000), 300),
    registrations: variable("RATE_LIMIT_REGISTRATIONS_PER_HOUR", whole(0, 1_000_000), 20),
    logins: variable("RATE_LIMIT_LOGINS_PER_MINUTE", whole(0, 1_000_000), 30),
    wrongKeys: variable("RATE_LIMIT_WRONG_KEYS_PER_MINUTE", whole(0, 1_000_000), 20),
  }),
  /** Whose word is taken for whom they were asked by. */
  trustedProxies: variable("TRUSTED_PROXIES", networks, []),
  /** How long a turn over one of these bounds waits for the end of another; 0: not at all. */
  turnQueuePatience: variable("TURN_QUEUE_SECONDS", number(0, 60), 2).pipe(Config.map(Duration.seconds)),
  /** How many such turns wait at a time; 0: none. */
  turnQueueLength: variable("TURN_QUEUE_LENGTH", whole(0, 100_000), 64),
  sessionTimeout: variable("SESSION_TIMEOUT_MINUTES", number(0.001, 525_600), 30).pipe(
    Config.map(Duration.minutes),
  ),
  /** 0 keeps every session. */
  sessionRetentionDays: variable("SESSION_RETENTION_DAYS", number(0, 36_500), 0),
})

/** Every setting of the service, read from the environment once, at start. Fails with ConfigError. */
export class Settings extends Context.Tag("Settings")<Settings, Config.Config.Success<typeof all>>() {
  static readonly layer = Layer.effect(Settings, all)
}

/** The sentences of a ConfigError, each once, without the library's paths and brackets. */
export const explainConfigError = (error: ConfigError.ConfigError): string => {
  const both = (_: unknown, left: ReadonlyArray<string>, right: ReadonlyArray<string>) => [...left, ...right]
  const one = (_: unknown, __: unknown, message: string) => [message]
  const sentences = ConfigError.reduceWithContext<unknown, ReadonlyArray<string>>(error, undefined, {
    andCase: both,
    orCase: both,
    invalidDataCase: one,
    missingDataCase: one,
    sourceUnavailableCase: one,
    unsupportedCase: one,
  })
  return [...new Set(sentences)].join(" ")
}
