import { Config, ConfigError, type Duration, Either, Option, Redacted } from "effect"
import { fieldNames, flag, headerName, jsonObject, oneOf, secret, text, timeout, webUrl } from "./checks.ts"
import { computed, optional, variable } from "./variable.ts"

/** A server that a stage of the turn (speech to text, language model, text to speech) can call. */
export interface ServerSettings {
  /** `offline`: the service's own engines; `openai`: api.openai.com; `compatible`: any other base URL. */
  readonly engine: "openai" | "compatible" | "offline"
  /** None for the offline engines: their port is known only while they run. */
  readonly baseUrl: Option.Option<string>
  readonly apiKey: Redacted.Redacted
  /** The name of the header with the key. None: the usual one of the host. */
  readonly keyHeader: Option.Option<string>
  readonly model: string
  /** The fields that requests leave out. */
  readonly omit: ReadonlyArray<string>
  /** Further fields of requests. */
  readonly extraBody: Readonly<Record<string, unknown>>
  /** Of one attempt. Each stage's variable describes what it covers. */
  readonly timeout: Duration.Duration
}

/** The server of a stage, and the fallback that is called in the same attempt when the first one fails. */
export interface StageSettings extends ServerSettings {
  readonly fallback: Option.Option<ServerSettings>
}

export const environment = variable("NODE_ENV", oneOf("development", "production", "test"), {
  default: "development",
  description:
    "`production` writes the log as JSON, hides the messages of internal errors, and turns the offline engines off by default.",
})

/** The variables that apply to every stage. */
export const shared = {
  apiKey: optional("OPENAI_API_KEY", secret, {
    description: "The API key for every stage without its own key or base URL.",
  }),
  baseUrl: optional("OPENAI_BASE_URL", webUrl, {
    unset: "https://api.openai.com/v1",
    description: "The OpenAI-compatible server for every stage without its own base URL.",
  }),
  offlineEngines: optional("OFFLINE_ENGINES", flag, {
    unset: "off in production, on otherwise",
    description: "Runs stages that have neither a key nor a base URL on the built-in offline engines.",
  }),
}

type Prefix = "STT" | "LLM" | "TTS"

/** The fields that the service itself has to set. */
const extraFields = jsonObject("model", "messages", "stream", "input", "file")

/** How requests to a server differ from those to OpenAI. */
const dialect = (prefix: Prefix | `${Prefix}_FALLBACK`) => ({
  keyHeader: optional(`${prefix}_API_KEY_HEADER`, headerName, {
    unset: "`api-key` for Azure, otherwise `Authorization` with a bearer token",
    description: "The header with the API key.",
  }),
  omit: computed(`${prefix}_OMIT`, fieldNames, {
    default: [],
    unset: "none",
    description: "Fields that requests leave out, separated by commas.",
  }),
  extraBody: computed(`${prefix}_EXTRA_BODY`, extraFields, {
    default: {},
    unset: "none",
    description: "Further fields of requests.",
  }),
})

/** The variables that every stage has under its own prefix. */
export const stageVariables = (
  prefix: Prefix,
  defaults: { readonly model: string; readonly timeout: number; readonly timeoutCovers: string },
) => {
  const fallback = dialect(`${prefix}_FALLBACK`)
  return {
    ...dialect(prefix),
    apiKey: optional(`${prefix}_API_KEY`, secret, {
      unset: `OPENAI_API_KEY, unless ${prefix}_BASE_URL is set`,
      description: `The API key for this stage. A server in \`${prefix}_BASE_URL\` receives this key only.`,
    }),
    baseUrl: optional(`${prefix}_BASE_URL`, webUrl, {
      unset: "OPENAI_BASE_URL",
      description: "The OpenAI-compatible server for this stage.",
    }),
    model: variable(`${prefix}_MODEL`, text, {
      default: defaults.model,
      description:
        prefix === "LLM" ? "The model." : "The model. On the offline engines, the name of an installed one.",
    }),
    timeout: variable(`${prefix}_TIMEOUT_SECONDS`, timeout, {
      default: defaults.timeout,
      description: `The time limit of one attempt: ${defaults.timeoutCovers}.`,
    }),
    fallbackUrl: optional(`${prefix}_FALLBACK_BASE_URL`, webUrl, {
      unset: "no fallback",
      description: "The server that is called in the same attempt when the first server fails.",
    }),
    fallbackKey: optional(`${prefix}_FALLBACK_API_KEY`, secret, {
      description: "The API key for the fallback server.",
    }),
    fallbackModel: optional(`${prefix}_FALLBACK_MODEL`, text, {
      unset: `${prefix}_MODEL`,
      description: "The model on the fallback server.",
    }),
    fallbackKeyHeader: fallback.keyHeader,
    fallbackOmit: fallback.omit,
    fallbackExtraBody: fallback.extraBody,
  }
}

const openAiUrl = "https://api.openai.com/v1"

const noKey = Redacted.make("none")

const engineOf = (url: string) => (url === openAiUrl ? "openai" : "compatible")

/**
 * A server in a stage's own base URL receives only the stage's own key, so that a key for OpenAI is never sent to
 * another server by accident.
 */
export const stage = (prefix: Prefix, variables: ReturnType<typeof stageVariables>) =>
  Config.all({ shared: Config.all({ ...shared, environment }), ...variables }).pipe(
    Config.mapOrFail(({ shared, apiKey, baseUrl, model, timeout, keyHeader, omit, extraBody, ...given }) => {
      const givenUrl = Option.orElse(baseUrl, () => shared.baseUrl)
      const givenKey = Option.isSome(baseUrl) ? apiKey : Option.orElse(apiKey, () => shared.apiKey)
      const fallback = Option.map(
        given.fallbackUrl,
        (url): ServerSettings => ({
          engine: engineOf(url),
          baseUrl: Option.some(url),
          apiKey: Option.getOrElse(given.fallbackKey, () => noKey),
          model: Option.getOrElse(given.fallbackModel, () => model),
          keyHeader: given.fallbackKeyHeader,
          omit: given.fallbackOmit,
          extraBody: given.fallbackExtraBody,
          timeout,
        }),
      )
      const common = {
        apiKey: Option.getOrElse(givenKey, () => noKey),
        model,
        timeout,
        keyHeader,
        omit,
        extraBody,
        fallback,
      }
      const url = Option.getOrElse(givenUrl, () => openAiUrl)
      if (url !== openAiUrl || Option.isSome(givenKey)) {
        return Either.right<StageSettings>({ ...common, engine: engineOf(url), baseUrl: Option.some(url) })
      }
      const mayBeOffline = Option.getOrElse(shared.offlineEngines, () => shared.environment !== "production")
      if (Option.isNone(givenUrl) && mayBeOffline) {
        return Either.right<StageSettings>({ ...common, engine: "offline", baseUrl: Option.none() })
      }
      return Either.left(Option.isSome(baseUrl) ? ownKeyMissing(prefix) : keyMissing)
    }),
  )

/** One value for all stages: equal sentences of a ConfigError are printed once. */
const keyMissing = ConfigError.InvalidData(
  ["OPENAI_API_KEY"],
  "OPENAI_API_KEY must be set, or each of the stages STT, LLM and TTS needs an API_KEY or BASE_URL of its own, such as STT_API_KEY. To try the service without a key, set OFFLINE_ENGINES=true.",
)

const ownKeyMissing = (prefix: Prefix) =>
  ConfigError.InvalidData(
    [`${prefix}_API_KEY`],
    `${prefix}_API_KEY must be set when ${prefix}_BASE_URL is OpenAI's own URL: OPENAI_API_KEY is never sent to a stage's own base URL.`,
  )
