import { isIP } from "node:net"
import { Config, ConfigError, Duration, Either, Option, Redacted } from "effect"

/** The value, or what it must be. */
type Check<A> = (text: string) => Either.Either<A, string>

/** What a wrong value is called in the sentence that stops the start. */
const quoted = (text: string) => `, but it is ${JSON.stringify(text.slice(0, 100))}`
/** For a value that is a secret, or may hold one: logs keep what is printed at a start. */
export const unquoted = () => ""

/** One variable: its name, its default, and a check that answers what the value must be. */
export const variable = <A>(name: string, check: Check<A>, fallback: A, quote = quoted): Config.Config<A> =>
  optional(name, check, quote).pipe(Config.map(Option.getOrElse(() => fallback)))

/** As `variable`, but None when unset. An empty value counts as unset, since compose files pass those on. */
export const optional = <A>(name: string, check: Check<A>, quote = quoted): Config.Config<Option.Option<A>> =>
  Config.string(name).pipe(
    Config.withDefault(""),
    Config.mapOrFail((text) =>
      text.trim() === ""
        ? Either.right(Option.none<A>())
        : Either.mapBoth(check(text.trim()), {
            onLeft: (must) =>
              ConfigError.InvalidData([name], `${name} must be ${must}${quote(text.trim())}.`),
            onRight: Option.some,
          }),
    ),
  )

export const text: Check<string> = (value) => Either.right(value)

/** Whatever else is in it could not be sent in a header, and the error would quote it at every turn. */
const visible: Check<Redacted.Redacted> = (value) =>
  /^[!-~]+$/.test(value)
    ? Either.right(Redacted.make(value))
    : Either.left("one word of visible ASCII characters")

export const secret = (name: string) => optional(name, visible, unquoted)

export const number =
  (least: number, most: number, options?: { readonly whole: boolean }): Check<number> =>
  (value) => {
    const parsed = Number(value)
    const right = parsed >= least && parsed <= most && (options?.whole !== true || Number.isInteger(parsed))
    return right
      ? Either.right(parsed)
      : Either.left(`a ${options?.whole === true ? "whole " : ""}number from ${least} to ${most}`)
  }

export const whole = (least: number, most: number) => number(least, most, { whole: true })

export const oneOf =
  <const A extends string>(...values: ReadonlyArray<A>): Check<A> =>
  (value) => {
    const found = values.find((candidate) => candidate === value.toLowerCase())
    return found === undefined ? Either.left(`one of ${values.join(", ")}`) : Either.right(found)
  }

export const flag: Check<boolean> = (value) =>
  Either.map(oneOf("true", "false", "1", "0", "on", "off", "yes", "no")(value), (word) =>
    ["true", "1", "on", "yes"].includes(word),
  )

const url =
  (...protocols: ReadonlyArray<string>): Check<string> =>
  (value) =>
    URL.canParse(value) && protocols.some((each) => value.toLowerCase().startsWith(`${each}//`))
      ? Either.right(value.replace(/\/+$/, ""))
      : Either.left(`a URL that starts with ${protocols.map((each) => `${each}//`).join(" or ")}`)

/** A base URL may hold a password, too. */
export const webUrl = (name: string) => optional(name, url("http:", "https:"), unquoted)

const decodes = (text: string) => {
  try {
    return decodeURIComponent(text) !== ""
  } catch {
    return false
  }
}

/** What a password breaks that is not percent-encoded: the driver would look for the server at a wrong place. */
export const databaseUrl: Check<Redacted.Redacted> = (value) =>
  Either.filterOrLeft(
    url("postgres:", "postgresql:")(value),
    (valid) => decodes(valid) && !valid.includes("#"),
    () => "",
  ).pipe(
    Either.mapBoth({
      onLeft: () => "postgres://user:password@host:5432/database, special characters in it percent-encoded",
      onRight: (valid) => Redacted.make(valid),
    }),
  )

export const origins: Check<ReadonlyArray<string>> = (value) => {
  const list = value.split(",").map((each) => each.trim().replace(/\/+$/, ""))
  return list.every((each) => each === "*" || (URL.canParse(each) && new URL(each).origin === each))
    ? Either.right(list)
    : Either.left('"*" or a comma-separated list of origins such as https://app.example.com')
}

/** Headers as OpenTelemetry writes them: `name=value,…`, values percent-encoded. Keys are among them. */
export const headerList: Check<Redacted.Redacted<Readonly<Record<string, string>>>> = (value) => {
  const list = value.split(",").map((each) => /^\s*([\w-]+)\s*=\s*([!-~]+)\s*$/.exec(each))
  const isRight = list.every((each) => each !== null && decodes(each[2] ?? ""))
  return isRight
    ? Either.right(
        Redacted.make(
          Object.fromEntries(list.map((each) => [each?.[1] ?? "", decodeURIComponent(each?.[2] ?? "")])),
        ),
      )
    : Either.left("a comma-separated list of name=value, special characters in it percent-encoded")
}

const isNetwork = (text: string) => {
  const [address = "", bits, ...more] = text.split("/")
  const version = isIP(address)
  if (version === 0 || more.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128))
}

export const networks: Check<ReadonlyArray<string>> = (value) => {
  const list = value.split(",").map((each) => each.trim())
  return list.every(isNetwork)
    ? Either.right(list)
    : Either.left("a comma-separated list of addresses and networks such as 10.0.0.0/8")
}

export const timeout = (name: string, seconds: number) =>
  variable(name, number(0.1, 600), seconds).pipe(Config.map(Duration.seconds))
