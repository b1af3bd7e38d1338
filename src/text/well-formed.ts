const isHighSurrogate = (unit: number) => unit >= 0xd800 && unit < 0xdc00

/** Text whose surrogates are all in pairs, and the first half of a pair that waits for its second half. */
export type PairedText = readonly [text: string, half: string]

/**
 * Adds a chunk to the half that the chunk before left. Models cut their replies between tokens, and an emoji can be two of
 * them. A surrogate that has no partner becomes U+FFFD: strict JSON readers refuse it.
 */
export const pairSurrogates = (half: string, chunk: string): PairedText => {
  const all = half + chunk
  return isHighSurrogate(all.charCodeAt(all.length - 1))
    ? [all.slice(0, -1).toWellFormed(), all.slice(-1)]
    : [all.toWellFormed(), ""]
}

/**
 * The text without what PostgreSQL refuses in jsonb: NUL is removed, and a lone surrogate (half of a character, where a text
 * was cut at any UTF-16 unit) becomes U+FFFD.
 */
export const toStorable = (text: string): string => text.replaceAll("\0", "").toWellFormed()
