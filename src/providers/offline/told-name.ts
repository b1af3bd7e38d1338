/** What follows "my name is" or "call me", but is no name. */
const noNames = new Set(
  `a about after again always an and any anonymous anything anytime as asap at away back because before but by common
  complicated crazy different difficult do does either every everything fine for from funny good hard he her here him his
  how i if important in indeed irrelevant is it its just late later long maybe me mine my never no none not nothing now of
  off ok okay old on once one or our out over please private rare really right same secret she short so some someone
  something sometime sometimes soon sorry special spelled still strange sure than thanks that the their then there these
  they this those to today tomorrow tonight too under unimportant unknown unusual up very we weird well what whatever when
  whenever where whether which who whose why with without written wrong yes yet you your yours`.split(/\s+/),
)

const negation = /(?:\b(?:not|never|no one|nobody|cannot|stop)|\p{L}n't)\b/u

/** Behind a word that is no name: "my name is hard to spell". */
const goesOn = /^ (?:to|for|with|of|as|when|if|in|on|at|than|because)\b/

/** What a person is, and is written with a capital: a name of a language is one of a people too. */
const peoples = new Set(
  `African American Arab Argentinian Asian Atheist Australian Austrian Belgian Brazilian British Buddhist Canadian Catholic
  Chilean Colombian Cuban Egyptian European Hindu Indian Iranian Iraqi Israeli Jewish Kenyan Mexican Moroccan Muslim
  Nigerian Pakistani Peruvian Protestant Scottish Swiss Syrian Taiwanese Tunisian`.split(/\s+/),
)
const languageNames = new Intl.DisplayNames("en", { type: "language", fallback: "none" })
const codes = Array.from({ length: 26 * 26 }, (_, at) =>
  String.fromCharCode(97 + Math.floor(at / 26), 97 + (at % 26)),
)
const languages = new Set(codes.map((code) => languageNames.of(code)))

const isName = (word: string) => !noNames.has(word.toLowerCase())

const capitalized = (word: string) => word.charAt(0).toUpperCase() + word.slice(1)

/** Of "My name is Ann" and "Call me Ann", in any letter case: a recognizer may write small letters only. */
const given = (text: string): string | undefined => {
  const found = /\b(?:my name(?: is|'s)|call me)(?:[\s:,…-]|\.{2,}(?!\.))+([\p{L}'-]+)/iu.exec(text)
  if (found === null) return undefined
  const [all, name = ""] = found
  const clause =
    text
      .slice(0, found.index)
      .split(/[.,;:!?]/)
      .at(-1) ?? ""
  const isWord = name === name.toLowerCase() && goesOn.test(text.slice(found.index + all.length))
  return isName(name) && !isWord && !negation.test(clause.toLowerCase()) ? capitalized(name) : undefined
}

/** Of "I am Ann". Only a capital tells it from "I am tired", and no other words may follow. */
const introduced = (text: string): string | undefined => {
  const found =
    /(?:^|[.,!?]\s+)(?:I|i)(?: am|'m) (\p{Lu}[\p{Ll}'-][\p{L}'-]*)(?: \p{Lu}[\p{L}'-]*)?(?=[.,!]|\s*$| and )/u
  const [, name] = found.exec(text) ?? []
  if (name === undefined || !isName(name) || peoples.has(name) || languages.has(name)) return undefined
  return name
}

/** The name that a person gives in English, with a capital. */
export const toldName = (text: string): string | undefined => {
  const plain = text.trim().replaceAll("’", "'")
  return given(plain) ?? introduced(plain)
}
