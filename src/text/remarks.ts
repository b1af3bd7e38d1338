/**
 * What recognizers write for sound without words: [BLANK_AUDIO], 【音楽】, <|nospeech|>. In these brackets nobody's words
 * are ever written.
 */
const annotation = /\[[^[\]]*\]|［[^［］]*］|【[^【】]*】|〔[^〔〕]*〕|<[^<>]*>|\{[^{}]*\}/gu

/** Round brackets, asterisks and notes: (silence), （笑）, *coughs*, ♪ la la ♪. Without a letter they are words: (42). */
const aside = /\([^()]*\)|（[^（）]*）|\*+[^*]*\*+|[♩-♬]+[^♩-♬]*[♩-♬]+/gu

/** Brackets inside each other that are read. In deeper ones, words count as said. */
const maxDepth = 20

const letter = /\p{L}/u
const letterOrDigit = /[\p{L}\p{N}]/u

/**
 * Whether a transcript has words or numbers, in any script, outside of a recognizer's remarks on what else it heard.
 * "(laughs) Hello" has; "...", "[Applause] [Music]" and "" have not.
 */
export const hasWords = (transcript: string): boolean => {
  let text = transcript
  let length = Number.POSITIVE_INFINITY
  for (let depth = 0; depth < maxDepth && text.length < length; depth++) {
    length = text.length
    text = text.replace(annotation, " ").replace(aside, (found) => (letter.test(found) ? " " : found))
  }
  return letterOrDigit.test(text)
}
