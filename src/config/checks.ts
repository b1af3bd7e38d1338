import { isIP } from "node:net"
import { Duration, Either, Option, Redacted, Schema } from "effect"
import { parseEncryptionKey } from "./encryption-key.ts"

/** How the text of a variable becomes its value. */
export interface Check<A> {
  readonly parse: (text: string) => Option.Option<A>
  /** Completes the sentence "NAME must be …", and is the type in docs/reference/configuration.md. */
  readonly mustBe: string
  readonly unit?: string
  /**
   * Completes the sentence "NAME must be …, but …" for a text that `parse` refuses. Without it, the text is quoted. It quotes
   * no secret.
   */
  readonly explain?: (text: string) => string
  /** Whole sentences behind the error: what to do, if the kind of value does not tell. */
  readonly advice?: string
  /** A secret, or a value that can contain one, is not quoted in an error: logs keep what a start prints. */
  readonly isSecret?: boolean
}

const mapCheck = <A, B>(check: Check<A>, convert: (value: A) => B): Check<B> => ({
  ...check,
  parse: (text) => Option.map(check.parse(text), convert),
})

export const text: Check<string> = { parse: Option.some, mustBe: "text" }

/** Other characters cannot be sent in a header, and the error would quote the secret on every turn. */
export const secret: Check<Redacted.Redacted> = {
  parse: (text) => (/^[!-~]+$/.test(text) ? Option.some(Redacted.make(text)) : Option.none()),
  mustBe: "one word of visible ASCII characters",
  isSecret: true,
}

export const encryptionKey: Check<Redacted.Redacted<Uint8Array>> = {
  parse: (text) => Option.map(parseEncryptionKey(text), Redacted.make),
  mustBe: "32 bytes in base64",
  advice: "Make one with `openssl rand -base64 32`.",
  isSecret: true,
}

const numeric = (
  least: number,
  most: number,
  kind: { readonly name: string; readonly isValid: (value: number) => boolean },
): Check<number> => ({
  parse: (text) =>
    Option.liftPredicate(Number(text), (value) => value >= least && value <= most && kind.isValid(value)),
  mustBe: `a ${kind.name} from ${least} to ${most}`,
})

export const number = (least: number, most: number) =>
  numeric(least, most, { name: "number", isValid: () => true })

/** Of money that a user may spend. */
export const limitAmount = number(0, 1_000_000_000)

export const whole = (least: number, most: number) =>
  numeric(least, most, { name: "whole number", isValid: Number.isInteger })

export const seconds = (least: number, most: number): Check<Duration.Duration> => ({
  ...mapCheck(number(least, most), Duration.seconds),
  unit: "seconds",
})

export const timeout = seconds(0.1, 600)

export const minutes = (least: number, most: number): Check<Duration.Duration> => ({
  ...mapCheck(number(least, most), Duration.minutes),
  unit: "minutes",
})

const kilobyte = 1024
const megabyte = 1024 * kilobyte

/** In whole bytes. */
export const megabytes = (least: number, most: number): Check<number> => ({
  ...mapCheck(number(least, most), (size) => Math.floor(size * megabyte)),
  unit: "MB",
})

/** In bytes per second. */
export const kilobytesPerSecond = (least: number, most: number): Check<number> => ({
  ...mapCheck(number(least, most), (rate) => rate * kilobyte),
  unit: "KB per second",
})

export const oneOf = <const A extends string>(...values: ReadonlyArray<A>): Check<A> => ({
  parse: (text) => Option.fromNullable(values.find((value) => value === text.toLowerCase())),
  mustBe: `one of ${values.join(", ")}`,
})

/** `none` turns the setting off. */
export const orNone = <A>(check: Check<A>): Check<Option.Option<A>> => ({
  ...check,
  parse: (text) =>
    text.toLowerCase() === "none" ? Option.some(Option.none()) : Option.map(check.parse(text), Option.some),
  mustBe: `${check.mustBe}, or none`,
})

export const flag = mapCheck(oneOf("true", "false", "1", "0", "on", "off", "yes", "no"), (word) =>
  ["true", "1", "on", "yes"].includes(word),
)

const url = (...protocols: ReadonlyArray<string>): Check<string> => ({
  parse: (text) =>
    URL.canParse(text) && protocols.some((protocol) => text.toLowerCase().startsWith(`${protocol}//`))
      ? Option.some(text.replace(/^([^?]*?)\/+(?=$|\?)/, "$1"))
      : Option.none(),
  mustBe: `a URL that starts with ${protocols.map((protocol) => `${protocol}//`).join(" or ")}`,
  isSecret: true,
})

export const webUrl = url("http:", "https:")

/** The URL of Ollama for an address as Ollama's own commands read it: `host`, `:port`, `host:port` or a URL. */
const ollamaUrl = (text: string): Option.Option<string> => {
  const [, scheme, address = ""] = /^(?:(https?):\/\/)?(.*)$/i.exec(text) ?? []
  const host =
    isIP(address) === 6 ? `[${address}]` : address.startsWith(":") ? `127.0.0.1${address}` : address
  if (!URL.canParse(`${scheme ?? "http"}://${host}`)) return Option.none()
  const parsed = new URL(`${scheme ?? "http"}://${host}`)
  // Its default port belongs to addresses without a scheme. ":80" is a port too, which URL drops.
  if (scheme === undefined && !/:\d+(\/|$)/.test(host.replace(/^\[.*\]/, ""))) parsed.port = "11434"
  // The address that the server listens on: all interfaces, this machine among them.
  if (parsed.hostname === "0.0.0.0" || parsed.hostname === "[::]") parsed.hostname = "127.0.0.1"
  return Option.some(parsed.href.replace(/\/+$/, ""))
}

/** Where Ollama listens unless OLLAMA_HOST says otherwise. */
export const defaultOllamaUrl = "http://127.0.0.1:11434"

export const ollamaAddress: Check<string> = {
  parse: ollamaUrl,
  mustBe: "an address such as 127.0.0.1:11434",
  isSecret: true,
}

const decode = (text: string) => Option.getRight(Either.try(() => decodeURIComponent(text)))

/**
 * Without percent-encoding, `#` or `%` in a password cuts the URL: the driver would connect to the wrong host.
 */
export const databaseUrl: Check<Redacted.Redacted> = {
  parse: (text) =>
    url("postgres:", "postgresql:")
      .parse(text)
      .pipe(
        Option.filter((valid) => Option.isSome(decode(valid)) && !valid.includes("#")),
        Option.map((valid) => Redacted.make(valid)),
      ),
  mustBe: "postgres://user:password@host:5432/database, with special characters percent-encoded",
  isSecret: true,
}

/** All parts of a comma-separated list, or none if one of them is wrong. */
const list =
  <A>(parse: (part: string) => Option.Option<A>) =>
  (text: string): Option.Option<ReadonlyArray<A>> =>
    Option.all(text.split(",").map((part) => parse(part.trim())))

const isOrigin = (text: string) => text === "*" || (URL.canParse(text) && new URL(text).origin === text)

export const origins: Check<ReadonlyArray<string>> = {
  parse: list((part) => Option.liftPredicate(part.replace(/\/+$/, ""), isOrigin)),
  mustBe: '"*" or a comma-separated list of origins such as https://app.example.com',
}

export const encryptionKeys: Check<Redacted.Redacted<ReadonlyArray<Uint8Array>>> = {
  parse: (text) => Option.map(list(parseEncryptionKey)(text), Redacted.make),
  mustBe: "a comma-separated list of keys of 32 bytes in base64",
  isSecret: true,
}

export const names: Check<ReadonlyArray<string>> = {
  parse: list((part) => Option.liftPredicate(part, (name) => name !== "")),
  mustBe: "a comma-separated list of names such as gpt-4o, gpt-4o-mini",
}

export const voices: Check<ReadonlyArray<string>> = {
  parse: names.parse,
  mustBe: "a comma-separated list of voices such as alloy, nova",
}

/** A list of these words, or `none`. */
export const someOf = <const A extends string>(...values: ReadonlyArray<A>): Check<ReadonlyArray<A>> => ({
  parse: (text) => (text.toLowerCase() === "none" ? Option.some([]) : list(oneOf(...values).parse)(text)),
  mustBe: `a comma-separated list of ${values.join(", ")}, or none`,
})

export const headerName: Check<string> = {
  parse: (text) => Option.liftPredicate(text, (name) => /^[\w-]+$/.test(name)),
  mustBe: "the name of a header such as api-key",
}

export const fieldNames: Check<ReadonlyArray<string>> = {
  parse: list((part) => Option.liftPredicate(part, (name) => /^[\w-]+$/.test(name))),
  mustBe: "a comma-separated list of field names such as stream_options",
}

const JsonObject = Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown }))

/** A JSON object without the fields `reserved`. */
export const jsonObject = (...reserved: ReadonlyArray<string>): Check<Readonly<Record<string, unknown>>> => ({
  parse: (text) =>
    Option.filter(
      Schema.decodeOption(JsonObject)(text),
      (fields) => !reserved.some((name) => Object.hasOwn(fields, name)),
    ),
  mustBe: `a JSON object without the fields ${reserved.join(", ")}`,
  advice: "In a shell or in .env, put it in single quotes; in a file for docker run --env-file, in none.",
  isSecret: true,
})

const header = (text: string): Option.Option<readonly [string, string]> => {
  const [, name, encoded] = /^([\w-]+)\s*=\s*([!-~]+)$/.exec(text) ?? []
  if (name === undefined || encoded === undefined) return Option.none()
  return Option.map(decode(encoded), (value) => [name, value] as const)
}

/** Headers in OpenTelemetry's format: `name=value,…` with percent-encoded values. They often contain keys. */
export const headerList: Check<Redacted.Redacted<Readonly<Record<string, string>>>> = {
  parse: (text) => Option.map(list(header)(text), (headers) => Redacted.make(Object.fromEntries(headers))),
  mustBe: "a comma-separated list of name=value, with special characters percent-encoded",
  isSecret: true,
}

const isNetwork = (text: string) => {
  const [address = "", bits, ...more] = text.split("/")
  const version = isIP(address)
  if (version === 0 || more.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128))
}

export const networks: Check<ReadonlyArray<string>> = {
  parse: list((part) => Option.liftPredicate(part, isNetwork)),
  mustBe: "a comma-separated list of addresses and networks such as 10.0.0.0/8",
}
