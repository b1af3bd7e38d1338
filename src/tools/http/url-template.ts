import { Either, Option } from "effect"
import { placeIn } from "../../text/braces.ts"
import { insertSecrets, type Secrets, secretNames, withoutReferences } from "../secrets.ts"

type Arguments = Readonly<Record<string, unknown>>

const placeholder = /\{([A-Za-z_][\w-]*)\}/g

const namesIn = (text: string) => Array.from(text.matchAll(placeholder), ([, name = ""]) => name)

/** The arguments that a URL template uses, as `{name}`. */
export const urlArguments = (template: string): ReadonlyArray<string> => namesIn(withoutReferences(template))

/** The scheme, host and port. Empty if there are none. */
export const originOf = (template: string) => /^https?:\/\/[^/?#\\]+/i.exec(template)?.[0] ?? ""

/** What is wrong with a URL template. None if nothing is. The sentence follows the name of its field. */
export const urlTemplateFault = (template: string): Option.Option<string> => {
  const origin = originOf(template)
  if (origin === "") return Option.some("must start with https:// and a host")
  if (/[{}]/.test(origin)) return Option.some("must have no placeholder before its path")
  const rest = template.slice(origin.length)
  const [path = "", query = ""] = splitQuery(rest)
  if (rest.includes("#")) return Option.some("must have no #")
  if (secretNames(path).length > 0) return Option.some("may refer to a secret in its query only")
  const literal = withoutReferences(template).replace(placeholder, (all) => " ".repeat(all.length))
  const brace = literal.search(/[{}]/)
  if (brace >= 0) {
    return Option.some(
      `has a brace at ${placeIn(template, brace)} that belongs to no {argument} and no {{secret:NAME}}; write a brace itself as %7B or %7D`,
    )
  }
  if (query.split("&").some((pair) => namesIn(withoutReferences(pair)).length > 1)) {
    return Option.some("may have one {argument} in each query parameter")
  }
  if (!URL.canParse(template)) return Option.some("is no valid URL")
  const { username, password } = new URL(template)
  return username === "" && password === ""
    ? Option.none()
    : Option.some("must have no user name and password; send them in a header")
}

const splitQuery = (text: string): readonly [string, string] => {
  const at = text.indexOf("?")
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)]
}

/** A value as it is written into a URL: text and numbers as they are, the rest as JSON. */
const urlValue = (value: unknown): string => {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "")
  // encodeURIComponent throws for half of a surrogate pair.
  return encodeURIComponent(text.toWellFormed())
}

/** A name such as `constructor` is no argument unless the model wrote it. */
const own = (values: Arguments, name: string): unknown =>
  Object.hasOwn(values, name) ? values[name] : undefined

const isMissing = (value: unknown) => value === undefined || value === null

/** The path, or what to tell the model. */
const renderPath = (template: string, values: Arguments): Either.Either<string, string> => {
  const missing = namesIn(template).find((name) => isMissing(own(values, name)) || own(values, name) === "")
  if (missing !== undefined) return Either.left(`The argument ${missing} is missing.`)
  const path = template.replace(placeholder, (_, name: string) => urlValue(own(values, name)))
  // A segment of dots would lead to another path than the owner of the tool allows.
  const isUnsafe = path.split("/").some((segment) => segment === "." || segment === "..")
  return isUnsafe ? Either.left('An argument may not be "." or "..".') : Either.right(path)
}

/** One query parameter. None without its argument; several for a list. */
const renderPair = (template: string, values: Arguments, secrets: Secrets): ReadonlyArray<string> => {
  const [name] = namesIn(withoutReferences(template))
  const value = name === undefined ? "" : own(values, name)
  if (isMissing(value)) return []
  return (Array.isArray(value) ? value : [value]).map((each) =>
    insertSecrets(
      // A reference has two braces, so that it is no placeholder.
      template.replace(/(?<!\{)\{[A-Za-z_][\w-]*\}(?!\})/, () => urlValue(each)),
      secrets,
      encodeURIComponent,
    ),
  )
}

/** The names of the parameters that the template has already. */
const namesOf = (pairs: ReadonlyArray<string>) => pairs.map((pair) => pair.split("=")[0] ?? "")

/**
 * Fills a valid template, and adds further query parameters, of which none replaces one of the template. Left is what to
 * tell the model: an argument is missing, or leads to another path.
 */
export const renderUrl = (
  template: string,
  values: Arguments,
  secrets: Secrets,
  more: Arguments = {},
): Either.Either<string, string> => {
  const origin = originOf(template)
  const [path, query] = splitQuery(template.slice(origin.length))
  const pairs = query === "" ? [] : query.split("&")
  const taken = namesOf(pairs)
  const added = Object.entries(more)
    .map(([name, value]) => [urlValue(name), value] as const)
    .filter(([name, value]) => !isMissing(value) && !taken.includes(name))
    .flatMap(([name, value]) =>
      (Array.isArray(value) ? value : [value]).map((each) => `${name}=${urlValue(each)}`),
    )
  return Either.map(renderPath(path, values), (rendered) => {
    const parameters = [...pairs.flatMap((pair) => renderPair(pair, values, secrets)), ...added]
    return `${origin}${rendered}${parameters.length === 0 ? "" : `?${parameters.join("&")}`}`
  })
}
