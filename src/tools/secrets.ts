import { Effect, Either, Option, Redacted } from "effect"

/** Reads a secret that the owner of a tool has stored. None if it cannot be had; the log says why. */
export type ReadSecret = (name: string) => Effect.Effect<Option.Option<Redacted.Redacted>>

const reference = /\{\{\s*secret:([A-Za-z][\w-]{0,63})\s*\}\}/g

/** The names of the secrets that a text refers to as `{{secret:NAME}}`. */
export const secretNames = (text: string): ReadonlyArray<string> =>
  Array.from(text.matchAll(reference), ([, name = ""]) => name)

export type Secrets = ReadonlyMap<string, Redacted.Redacted>

/** What refers to secrets in the definition of a tool or of a server. */
interface Referring {
  readonly url?: string | undefined
  readonly headers: Readonly<Record<string, string>>
}

/** The secrets that a definition refers to. Left is the name of one that is missing. */
export const readSecrets = Effect.fnUntraced(function* ({ url = "", headers }: Referring, read: ReadSecret) {
  const texts = [url, ...Object.values(headers)]
  const secrets = new Map<string, Redacted.Redacted>()
  for (const name of new Set(texts.flatMap(secretNames))) {
    const secret = yield* read(name)
    if (Option.isNone(secret)) return Either.left(name)
    secrets.set(name, secret.value)
  }
  return Either.right<Secrets>(secrets)
})

/** For the model. */
export const missingSecret = (name: string) => `The tool needs the secret ${name}. Its owner has to set it.`

/** For the owner of a tool. */
export const secretToSet = (name: string) =>
  `The tool needs the secret ${name}. Set it with PUT /users/me/secrets/${name}.`

/** The text with spaces in the place of its references. */
export const withoutReferences = (text: string): string =>
  text.replace(reference, (all) => " ".repeat(all.length))

/** The text with the secrets in the place of their references. A missing secret leaves nothing. */
export const insertSecrets = (
  text: string,
  secrets: Secrets,
  encode: (value: string) => string = (value) => value,
): string =>
  text.replace(reference, (_, name: string) => {
    const secret = secrets.get(name)
    return secret === undefined ? "" : encode(Redacted.value(secret))
  })

/** Shorter values would remove ordinary words from answers. */
const minLength = 6

/** Removes secrets from what a server answers: some servers repeat the headers and the URL of a request. */
export const removeSecrets = (text: string, secrets: Iterable<Redacted.Redacted>): string =>
  Array.from(secrets, (secret) => Redacted.value(secret))
    .filter(({ length }) => length >= minLength)
    .flatMap((value) => [value, encodeURIComponent(value), JSON.stringify(value).slice(1, -1)])
    .reduce((clean, value) => clean.replaceAll(value, "[secret]"), text)
