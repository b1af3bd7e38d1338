import { Option, Predicate, Redacted } from "effect"
import type { ServerSettings } from "../config.ts"
import {
  type ProviderDetails,
  type ProviderError,
  ProviderRateLimited,
  ProviderRefusedKey,
  ProviderRefusedRequest,
  ProviderUnusable,
} from "./errors.ts"

const REMOVED = "***"

/** What looks like a key of any service: a proxy may repeat one that this server does not know. A masked key does not. */
const KEYS = [
  // OpenAI, Anthropic, ElevenLabs, Groq, xAI, Cerebras, NVIDIA, Perplexity.
  /(?<![\w-])(?:c?sk|gsk|xai|nvapi|pplx)[-_][\w-]{6,}/g,
  // Google and Hugging Face.
  /(?<![\w-])(?:AIza|hf_)[\w-]{20,}/g,
  // A JSON Web Token.
  /(?<![\w-])eyJ[\w-]{10,}(?:\.[\w-]+)+/g,
  /(?<=\bBearer\s{1,3})(?=[^\s"']*\d)[\w.~+/=-]{8,}/gi,
  /(?<=[?&](?:api[_-]?key|key|token)=)[^\s&"']{6,}/gi,
  // Azure, Deepgram and others: 32 letters and digits or more. The id of a request has hyphens, or a prefix.
  /(?<![\w-])(?=[a-z]*\d)(?=\d*[a-z])[a-z\d]{32,}(?![\w-])/gi,
]

/** A shorter word, such as the name of a product in place of a key, is no secret. */
const MIN_WORD = 8
const MIN_KEY = 4

/** From so many characters on, the beginning of a key is removed too: a long message is cut off. OpenAI shows eight. */
const MIN_PART = 10

const isSecret = (value: string) =>
  value.length >= MIN_WORD || (value.length >= MIN_KEY && !/^[a-z]+$/i.test(value))

/** Names of fields and parameters whose values are secret. */
const secretName = /key|token|secret|passw|auth|credential/i

const inUrl = (baseUrl: string): ReadonlyArray<string> => {
  const { password, searchParams } = new URL(baseUrl)
  return [
    decodeURIComponent(password),
    ...[...searchParams].flatMap(([name, value]) => (secretName.test(name) ? [value] : [])),
  ]
}

const inBody = (extraBody: ServerSettings["extraBody"]): ReadonlyArray<string> =>
  Object.entries(extraBody).flatMap(([name, value]) =>
    secretName.test(name) && typeof value === "string" ? [value] : [],
  )

const secretsOf = ({ apiKey, baseUrl, extraBody }: ServerSettings): ReadonlyArray<string> => {
  const secrets = [
    Redacted.value(apiKey),
    ...Option.match(baseUrl, { onNone: () => [], onSome: inUrl }),
    ...inBody(extraBody),
  ]
  return [...new Set(secrets.flatMap((secret) => [secret, encodeURIComponent(secret)]))].filter(isSecret)
}

const commonLength = (one: string, other: string) => {
  let length = 0
  while (length < one.length && one[length] === other[length]) length += 1
  return length
}

/** The text without what begins as the secret does. */
const withoutPart = (text: string, secret: string): string => {
  const [first = "", ...rest] = text.split(secret.slice(0, MIN_PART))
  const end = secret.slice(MIN_PART)
  return rest.reduce((clean, part) => clean + REMOVED + part.slice(commonLength(end, part)), first)
}

/** What an error quotes from its server. */
const textsOf = (error: ProviderError): ReadonlyArray<string> => {
  const { code, type, param } = error.details ?? {}
  const words =
    error._tag === "ProviderRefusedRequest"
      ? error.message
      : error._tag === "ProviderUnusable"
        ? error.reason
        : undefined
  return [words, code, type, param].filter(Predicate.isNotUndefined)
}

/** Removes the secrets of the server, and whatever looks like a key, from what its errors say. */
export const redactor = (server: ServerSettings) => {
  const secrets = secretsOf(server)
  const redact = (text: string) => {
    const whole = secrets.reduce((rest, secret) => rest.replaceAll(secret, REMOVED), text)
    return KEYS.reduce((rest, key) => rest.replace(key, REMOVED), secrets.reduce(withoutPart, whole))
  }
  /** A name with a secret in it is left out. */
  const name = (field: keyof ProviderDetails, value: string | undefined) =>
    value === undefined || redact(value) !== value ? {} : { [field]: value }
  const redactDetails = ({ code, type, param }: ProviderDetails): ProviderDetails => ({
    ...name("code", code),
    ...name("type", type),
    ...name("param", param),
  })
  return (error: ProviderError): ProviderError => {
    // The same error otherwise: its stack says where it comes from.
    if (textsOf(error).every((text) => redact(text) === text)) return error
    const details = error.details === undefined ? {} : { details: redactDetails(error.details) }
    switch (error._tag) {
      case "ProviderRefusedRequest":
        return new ProviderRefusedRequest({ ...error, message: redact(error.message), ...details })
      case "ProviderUnusable":
        return new ProviderUnusable({ ...error, reason: redact(error.reason), ...details })
      case "ProviderRefusedKey":
        return new ProviderRefusedKey({ ...error, ...details })
      case "ProviderRateLimited":
        return new ProviderRateLimited({ ...error, ...details })
    }
  }
}
