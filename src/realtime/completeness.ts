import { judge, nextCandidate } from "../text/sentence-end.ts"

/**
 * Whether the transcript of what a person said so far is a whole sentence. `incomplete`: its end shows that more follows.
 * `unclear`: it ends without any mark, as all transcripts of some recognizers do.
 */
export type Completeness = "complete" | "unclear" | "incomplete"

const hasWord = /[\p{L}\p{N}]/u

/** A person who trails off is not done: an ellipsis, a comma, a dash, an opening mark. */
const openEnd = /(?:\.{2}|[…,;:、،，；：–—-]|[([{«“¿¡])["'”’»]*$/u

/** Words that a sentence does not end with: conjunctions, articles, prepositions and sounds of hesitation. */
const openWords: ReadonlySet<string> = new Set(
  `
  and or but because so if when that the a an my your to of for with in on at from by about is are was um uh er erm hmm
  und oder aber weil wenn dass der die das ein eine mein zu von für mit im am äh ähm
  et ou mais parce que si quand le la les un une mon de du pour avec dans sur euh
  y o pero porque cuando el los las una mi para con en sobre eh este
  e ma perché se il lo di per con su ehm
  mas porque quando os as um uma meu em
  en of maar omdat als het een mijn van voor met op
  `
    .trim()
    .split(/\s+/),
)

/** How the text ends: in a sentence that is over, in a mark that ends none ("Dr."), or without a mark. */
const endingOf = (text: string): "sentence" | "inside" | "open" => {
  let start = 0
  let from = 0
  let ending: "sentence" | "inside" | "open" = "open"
  for (let found = nextCandidate(text, 0); found !== null; found = nextCandidate(text, from)) {
    const { verdict, end } = judge(text.slice(start), found.index - start, false)
    const isLast = start + end === text.length
    if (isLast) ending = verdict === "inside" ? "inside" : "sentence"
    // "wait" at the end: only more text could tell, and there is none. "At 8." is a sentence.
    if (verdict === "end" || isLast) start += end
    from = Math.max(found.index + 1, start)
  }
  return ending
}

export const completenessOf = (transcript: string): Completeness => {
  const text = transcript.trim()
  // Nothing was said: nothing is to be waited for.
  if (!hasWord.test(text)) return "complete"
  if (openEnd.test(text)) return "incomplete"
  const ending = endingOf(text)
  if (ending !== "open") return ending === "sentence" ? "complete" : "incomplete"
  const last = /(?<![\p{L}\p{M}'’])[\p{L}\p{M}'’]+$/u.exec(text)?.[0] ?? ""
  return openWords.has(last.toLowerCase()) ? "incomplete" : "unclear"
}
