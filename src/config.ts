import { Config, ConfigError, Context, Either, Layer, Option, type Redacted } from "effect"
import { environment, stage } from "./config/stages.ts"
import * as variables from "./config/variables.ts"

export type { ServerSettings, StageSettings } from "./config/stages.ts"

/** Who can register: everyone, clients that send the token, or nobody. */
export type RegistrationMode =
  | { readonly mode: "open" }
  | { readonly mode: "closed" }
  | { readonly mode: "token"; readonly token: Redacted.Redacted }

const registration = Config.all(variables.registration).pipe(
  Config.mapOrFail(({ mode, token }): Either.Either<RegistrationMode, ConfigError.ConfigError> => {
    if (mode !== "token") return Either.right({ mode })
    return Either.fromOption(
      Option.map(token, (token) => ({ mode, token })),
      () =>
        ConfigError.InvalidData(
          ["REGISTRATION_TOKEN"],
          "REGISTRATION_TOKEN must be set when REGISTRATION is token.",
        ),
    )
  }),
)

const all = Config.all({
  environment,
  ...variables.breaker,
  stt: stage("STT", variables.stt),
  ...variables.sttOptions,
  llm: stage("LLM", variables.llm),
  ...variables.llmOptions,
  tts: stage("TTS", variables.tts),
  ...variables.ttsOptions,
  ...variables.conversation,
  agents: Config.all(variables.agents),
  tools: Config.all(variables.tools),
  ...variables.audio,
  interruption: Config.all(variables.interruption),
  ...variables.concurrency,
  ...variables.realtime,
  rateLimits: Config.all(variables.rateLimits),
  usage: Config.all(variables.usage),
  trustedProxies: variables.trustedProxies,
  registration,
  ...variables.database,
  ...variables.encryption,
  ...variables.mcp,
  outbound: Config.all(variables.outbound),
  ...variables.server,
  ...variables.log,
  otlp: Config.all(variables.otlp),
  metrics: Config.all(variables.metrics),
})

/** The settings of the service, read from the environment once at start. Fails with ConfigError. */
export class Settings extends Context.Tag("voice-agent/Settings")<
  Settings,
  Config.Config.Success<typeof all>
>() {
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
