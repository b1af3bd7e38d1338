import { Effect, Redacted } from "effect"
import { sha256 } from "../hash.ts"

/** What is stored of a key. */
export interface KeyTraces {
  readonly keyHash: string
  readonly prefix: string
}

/** `sk_` and four of its 64 digits: enough to know one's own keys apart, and nothing to guess the rest by. */
const prefixLength = 7

/**
 * SHA-256 in hex. A key has 256 random bits, so a slow hash would add nothing; and as it is the hash that is looked
 * up, the look-up's time tells nothing of the key.
 */
export const hashApiKey = (apiKey: Redacted.Redacted): string => sha256(Redacted.value(apiKey))

/** A new key, `sk_` and 32 random bytes in hex, and what may be stored of it. */
export const makeApiKey = Effect.sync(
  (): { readonly apiKey: Redacted.Redacted; readonly traces: KeyTraces } => {
    const text = `sk_${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex")}`
    const apiKey = Redacted.make(text)
    return { apiKey, traces: { keyHash: hashApiKey(apiKey), prefix: text.slice(0, prefixLength) } }
  },
)

/** Comes with each key that is shown. */
export const keyNotice = "API key created. Save this key securely - it will not be shown again."
