import { createHmac, randomBytes } from "node:crypto"
import { Redacted } from "effect"

/** As Standard Webhooks writes secrets: the rest is base64. */
const prefix = "whsec_"

/** Bytes. Standard Webhooks asks for 24 to 64; more than the 32 of a SHA-256 add nothing. */
const secretBytes = 32

export const makeSecret = (): Redacted.Redacted =>
  Redacted.make(`${prefix}${randomBytes(secretBytes).toString("base64")}`)

const signatureOf = (secret: Redacted.Redacted, signed: string) => {
  const key = Buffer.from(Redacted.value(secret).slice(prefix.length), "base64")
  return `v1,${createHmac("sha256", key).update(signed).digest("base64")}`
}

/**
 * The headers of a message that each of `secrets` signs, by Standard Webhooks 1.0. `id` is the same in every attempt. The time
 * is that of the attempt, in seconds since 1970, so that a receiver can refuse what was recorded and is sent again later.
 */
export const signedHeaders = (
  secrets: ReadonlyArray<Redacted.Redacted>,
  message: { readonly id: string; readonly seconds: number; readonly body: string },
): Readonly<Record<string, string>> => {
  const { id, seconds, body } = message
  const signed = `${id}.${seconds}.${body}`
  return {
    "webhook-id": id,
    "webhook-timestamp": `${seconds}`,
    "webhook-signature": secrets.map((secret) => signatureOf(secret, signed)).join(" "),
  }
}
