/** A short word between pauses may have more tokens than its length allows. */
const minTokens = 8

/** How often a person repeats a word or two, and a longer phrase, within 15 s. */
const maxRepeats = (words: number) => (words < 4 ? 6 : 3)

/** Words in the longest phrase that is looked for. */
const longestPhrase = 24

const plain = (word: string) => word.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "")

/** How many times in a row the phrase of this many words stands at `at`. */
const repeatsAt = (words: ReadonlyArray<string>, at: number, length: number): number => {
  let end = at + length
  while (end < words.length && words[end] === words[end - length]) end += 1
  return Math.floor((end - at) / length)
}

/** A phrase that is repeated more often than anyone does is kept once: the decoder was in a loop. */
const withoutLoops = (text: string): string => {
  const words = text.split(/\s+/).filter((word) => word !== "")
  const compared = words.map(plain)
  const kept: Array<string> = []
  for (let at = 0; at < words.length; ) {
    let next = at + 1
    let until = at + 1
    for (let length = 1; length <= longestPhrase; length++) {
      const repeats = repeatsAt(compared, at, length)
      if (repeats <= maxRepeats(length)) continue
      until = at + length
      next = at + repeats * length
      break
    }
    kept.push(...words.slice(at, until))
    at = next
  }
  return kept.join(" ")
}

/**
 * The part of a transcript that a person can have said in so many seconds, at this many tokens a second at most. The decoder
 * of a small model may miss its end, or write one phrase again and again.
 */
export const plausible = (
  tokens: ReadonlyArray<string>,
  text: string,
  seconds: number,
  tokensPerSecond: number,
): string => {
  const limit = Math.max(minTokens, Math.ceil(seconds * tokensPerSecond))
  return withoutLoops(tokens.length > limit ? tokens.slice(0, limit).join("") : text)
}
