import { Config, ConfigError, Context, Duration, Either, Layer, Option, Redacted } from "effect"

/** What one stage of the turn (hearing, thinking, speaking) runs on. */
export interface StageSettings {
  /** `offline`: the service's own engines; `openai`: api.openai.com; `compatible`: any other base URL. */
  readonly engine: "openai" | "compatible" | "offline"
  /** None for the offline engines, whose port is known only once they run. */
  readonly baseUrl: Option.Option<string>
  readonly apiKey: Redacted.Redacted
  readonly model: string
  /** Per try; what it spans is said at each stage (api.md's "Time-outs per try"). */
  readonly timeout: Duration.Duration
}

type Check<A> = (text: string) => Either.Either<A, string>

/** One variable: its name, its default, and a check that answers what the value must be. */
const variable = <A>(name: string, check: Check<A>, fallback: A): Config.Config<A> =>
  optional(name, check).pipe(Config.map(Option.getOrElse(() => fallback)))

/** As `variable`, but None when unset. An empty value counts as unset, since compose files pass those on. */
const optional = <A>(name: string, check: Check<A>): Config.Config<Option.Option<A>> =>
  Config.string(name).pipe(
    Config.withDefault(""),
    Config.mapOrFail((text) =>
      text.trim() === ""
        ? Either.right(Option.none<A>())
        : Either.mapBoth(check(text.trim()), {
            onLeft: (must) =>
              ConfigError.InvalidData([name], `${name} must be ${must}, but it is "${text}".`),
            onRight: Option.some,
          }),
    ),
  )

const text: Check<string> = (value) => Either.right(value)

const secret: Check<Redacted.Redacted> = (value) => Either.right(Redacted.make(value))

const number =
  (least: number, most: number, options?: { readonly whole: boolean }): Check<number> =>
  (value) => {
    const parsed = Number(value)
    const right = parsed >= least && parsed <= most && (options?.whole !== true || Number.isInteger(parsed))
    return right
      ? Either.right(parsed)
      : Either.left(`a ${options?.whole === true ? "whole " : ""}number from ${least} to ${most}`)
  }

const whole = (least: number, most: number) => number(least, most, { whole: true })

const oneOf =
  <const A extends string>(...values: ReadonlyArray<A>): Check<A> =>
  (value) => {
    const found = values.find((candidate) => candidate === value.toLowerCase())
    return found === undefined ? Either.left(`one of ${values.join(", ")}`) : Either.right(found)
  }

const flag: Check<boolean> = (value) =>
  Either.map(oneOf("true", "false", "1", "0", "on", "off", "yes", "no")(value), (word) =>
    ["true", "1", "on", "yes"].includes(word),
  )

const url =
  (...protocols: ReadonlyArray<string>): Check<string> =>
  (value) =>
    URL.canParse(value) && protocols.includes(new URL(value).protocol)
      ? Either.right(value.replace(/\/+$/, ""))
      : Either.left(`a URL that starts with ${protocols.map((each) => `${each}//`).join(" or ")}`)

const origins: Check<ReadonlyArray<string>> = (value) => {
  const list = value.split(",").map((each) => each.trim().replace(/\/+$/, ""))
  return list.every((each) => each === "*" || (URL.canParse(each) && new URL(each).origin === each))
    ? Either.right(list)
    : Either.left('"*" or a comma-separated list of origins such as https://app.example.com')
}

const timeout = (name: string, seconds: number) =>
  variable(name, number(0.1, 600), seconds).pipe(Config.map(Duration.seconds))

const shared = Config.all({
  apiKey: optional("OPENAI_API_KEY", secret),
  baseUrl: optional("OPENAI_BASE_URL", url("http:", "https:")),
  environment: variable("NODE_ENV", oneOf("development", "production", "test"), "development"),
  offlineEngines: optional("OFFLINE_ENGINES", flag),
})

const openAiUrl = "https://api.openai.com/v1"

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
    apiKey: optional(`${prefix}_API_KEY`, secret),
    baseUrl: optional(`${prefix}_BASE_URL`, url("http:", "https:")),
    model: variable(`${prefix}_MODEL`, text, defaults.model),
    timeout: timeout(`${prefix}_TIMEOUT_SECONDS`, defaults.seconds),
  }).pipe(
    Config.mapOrFail(({ shared, apiKey, baseUrl, model, timeout }) => {
      const givenUrl = Option.orElse(baseUrl, () => shared.baseUrl)
      const givenKey = Option.isSome(baseUrl) ? apiKey : Option.orElse(apiKey, () => shared.apiKey)
      const common = {
        apiKey: Option.getOrElse(givenKey, () => Redacted.make("none")),
        model,
        timeout,
      }
      if (Option.isSome(givenUrl) || Option.isSome(givenKey)) {
        const chosen = Option.getOrElse(givenUrl, () => openAiUrl)
        const engine = chosen === openAiUrl ? "openai" : "compatible"
        return Either.right<StageSettings>({ ...common, engine, baseUrl: Option.some(chosen) })
      }
      if (Option.getOrElse(shared.offlineEngines, () => shared.environment !== "production")) {
        return Either.right<StageSettings>({ ...common, engine: "offline", baseUrl: Option.none() })
      }
      return Either.left(
        ConfigError.InvalidData(
          ["OPENAI_API_KEY"],
          `OPENAI_API_KEY must be set (or ${prefix}_API_KEY, or ${prefix}_BASE_URL for another server, or ` +
            "OFFLINE_ENGINES=true to try the service without any).",
        ),
      )
    }),
  )

const systemPrompt =
  "You are a helpful voice assistant. Keep responses concise and natural for voice conversation. Maximum 2-3 sentences."

const megabyte = 1024 * 1024

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
  /** From the end of the upload to the first audio. */
  turnTimeout: timeout("TURN_TIMEOUT_SECONDS", 60),
  databaseUrl: optional("DATABASE_URL", url("postgres:", "postgresql:")).pipe(
    Config.map(Option.map((value) => Redacted.make(value))),
  ),
  databasePoolSize: variable("DATABASE_POOL_SIZE", whole(1, 1000), 20),
  dataDir: variable("DATA_DIR", text, ".data"),
  port: variable("PORT", whole(0, 65_535), 3000),
  host: variable("HOST", text, "0.0.0.0"),
  corsOrigins: variable("CORS_ORIGIN", origins, ["*"]),
  logLevel: variable("LOG_LEVEL", oneOf("debug", "info", "warn", "error", "none"), "info"),
  /** None: no log files. The one variable whose empty value means something. */
  logDir: Config.string("LOG_DIR").pipe(
    Config.withDefault("logs"),
    Config.map((folder) => (folder.trim() === "" ? Option.none<string>() : Option.some(folder.trim()))),
  ),
  ffmpegPath: variable("FFMPEG_PATH", text, "ffmpeg"),
  maxAudioBytes: variable("MAX_AUDIO_SIZE_MB", number(0.001, 2048), 25).pipe(
    Config.map((size) => Math.floor(size * megabyte)),
  ),
  maxAudioSeconds: variable("MAX_AUDIO_DURATION_SECONDS", number(0.1, 86_400), 300),
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

/** The sentences of a ConfigError, without the library's paths and brackets. */
export const explainConfigError = (error: ConfigError.ConfigError): string =>
  ConfigError.reduceWithContext(error, undefined, {
    andCase: (_, left: string, right: string) => (left === right ? left : `${left} ${right}`),
    orCase: (_, left, right) => (left === right ? left : `${left} ${right}`),
    invalidDataCase: (_, __, message) => message,
    missingDataCase: (_, __, message) => message,
    sourceUnavailableCase: (_, __, message) => message,
    unsupportedCase: (_, __, message) => message,
  })
