/** The rules by which the words of a refusal say that a server never takes a field, or this value of it. */

const verdict = [
  "unsupported|unknown|unexpected|invalid|illegal|forbidden|disallowed|deprecated|no such|out of range",
  "unrecogni[sz]ed",
  "extra (?:inputs?|fields?|parameters?|keys?|arguments?)",
  String.raw`(?:not|\w+n['’]t)(?: be)? (?:support|permit|allow|accept|recogni[sz]|enable|available|found|exist|compatible|valid|known|implement)\w*`,
  "can(?:not|'t) be (?:set|used|specified|combined)",
  "only (?:supports?|supported|allows?|allowed|accepts?|accepted|permitted|available)",
  String.raw`(?:must|should) be (?:one of|either|between|an? |less|greater|at (?:most|least)|["'\x60[\d<>=])`,
].join("|")

/** Words that may stand between a field and the verdict on it. */
const link = [
  "the|an?|this|that|and|or|is|are|was|be|for|of",
  "in|has|have|does|do|can|currently|these|following|request|body|json",
  "supplied|provided|given|got|received|keyword|parameters?|params?|fields?|arguments?|args?|keys?",
  "names?|propert(?:y|ies)|attributes?|options?|settings?|values?|inputs?|types?|models?|audio|output|formats?",
  "voices?|permitted|allowed|supported|not",
].join("|")

/** Values in quotes, names of other fields, links, and what is no letter, but for the end of a sentence. */
const step = [
  String.raw`(?<=["'\x60])[\w./-]{1,40}(?=["'\x60])`,
  String.raw`\b[a-z]+(?:_[a-z]+)+\b`,
  String.raw`\b(?:${link})\b`,
  String.raw`(?![.!?;]\s)[^\p{L}]`,
].join("|")

/** Up to 60 steps. The lookahead and its reference keep the first way to take a step: with the others, time is exponential. */
const gap = String.raw`(?:(?=(?<step>${step}))\k<step>){0,60}`

/** "Unexpected stream error" is a failure of the server. */
const notFailure = String.raw`(?!["'\x60]?\s+(?:errors?|failures?|exceptions?|ends?|states?|responses?|clos|interrupt|disconnect|reset|worker|server|service|backend|sessions?|connections?)\b)`

/** What passes, and what a filter of contents says of the conversation. */
const passing =
  /\b(?:busy|overload\w*|temporar\w*|interrupted|exhausted|out of memory|again later|at the moment|right now|in a (?:moment|few|while)|flagged|moderation|content[ _-]?(?:policy|filter\w*))\b/i

/** Sentences in quotes are those of the conversation. Names in quotes have no spaces. */
const withoutQuotes = (text: string) =>
  text.replace(
    /(?<![\p{L}\p{N}])(["'`])((?:(?!\1).)*)\1(?![\p{L}\p{N}])/gsu,
    (whole: string, _, inner: string) => (inner.includes(" ") ? " … " : whole),
  )

/** True if the refusal is of this moment, whatever it names. */
export const isPassing = (words: ReadonlyArray<string>): boolean => words.some((text) => passing.test(text))

/** Longer texts are no sentences of a server about a field. In UTF-16 units. */
const maxLength = 8192

/** `names`: patterns of regular expressions. True if a verdict stands beside one of the names. */
export const blames = (words: ReadonlyArray<string>, names: ReadonlyArray<string>): boolean => {
  if (names.length === 0) return false
  const name = `(?:${names.join("|")})`
  const rules = [
    new RegExp(String.raw`${name}${gap}(?<!\p{L})(?:${verdict})`, "iu"),
    new RegExp(String.raw`(?<!\p{L})(?:${verdict})(?!\p{L})${gap}${name}${notFailure}`, "iu"),
  ]
  return words.some((text) => {
    const unquoted = withoutQuotes(text.slice(0, maxLength))
    return rules.some((rule) => rule.test(unquoted))
  })
}
