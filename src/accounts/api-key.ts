import { Effect, Redacted } from "effect"
import { sha256 } from "../hash.ts"

/** What is stored of a key. */
export interface StoredKey {
  readonly keyHash: string
  readonly prefix: string
}

/** `sk_` and 4 of the 64 hex digits: users can tell their keys apart, and 240 bits stay secret. */
const prefixLength = 7

/**
 * SHA-256 in hex. A slow hash would add nothing to 256 random bits. The database looks up the hash, so the time of the
 * look-up reveals nothing about the key.
 */
export const hashApiKey = (apiKey: Redacted.Redacted): string => sha256(Redacted.value(apiKey))

/** A new key (`sk_` and 32 random bytes in hex), and what is stored of it. */
export const makeApiKey = Effect.sync(
  (): { readonly apiKey: Redacted.Redacted; readonly stored: StoredKey } => {
    const text = `sk_${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex")}`
    const apiKey = Redacted.make(text)
    return { apiKey, stored: { keyHash: hashApiKey(apiKey), prefix: text.slice(0, prefixLength) } }
  },
)

/** As OpenAI's own: stock clients in browsers accept no other beginning. */
export const secretPrefix = "ek_"

/** Whether a credential is a client secret and not an API key. */
export const isClientSecret = (credential: Redacted.Redacted): boolean =>
  Redacted.value(credential).startsWith(secretPrefix)

/** The `message` of each response that contains a new key. */
export const keyNotice = "API key created. Save this key securely - it will not be shown again."
