import { Option } from "effect"
import { primaryLanguage } from "../text/language.ts"

/** What listeners say in many languages without wanting to speak. */
const sounds = "mhm mmhm mm mmm hm hmm hmhm uhhuh uh huh mmhmm ah aha oh ooh wow ok okay haha ha"

/** What listeners say in one language, by its ISO 639-1 code. Phrases are written with `_` for the space. */
const byLanguage: Readonly<Record<string, string>> = {
  en: "yeah yep yup right sure great cool nice i_see got_it of_course really exactly true",
  de: "ja jaja jo genau klar gut richtig stimmt ach_so achso verstehe aha naja",
  fr: "ouais oui d'accord voilà bien_sûr ah_bon je_vois exactement hein",
  es: "sí si ya vale claro ajá bueno exacto entiendo de_acuerdo",
  it: "sì si già certo esatto va_bene capisco ecco giusto",
  pt: "sim pois certo claro tá entendi exato pois_é",
  nl: "ja jaja precies klopt goed oké juist snap_ik",
  pl: "tak no_tak jasne dobrze rozumiem aha",
  ru: "да ага угу так ясно понятно хорошо верно",
  tr: "evet hı_hı tamam tabii anladım doğru",
  ja: "うん うんうん はい ええ へえ そう そうですね なるほど そうですか",
  zh: "嗯 嗯嗯 哦 对 对对 好 好的 是 是的 啊 明白",
  ko: "네 예 응 음 아 그래 그렇군요 맞아요",
}

const phrases = (list: string) => list.split(" ").map((phrase) => phrase.replaceAll("_", " "))

const common = phrases(sounds)
const known = new Map(
  Object.entries(byLanguage).map(([code, list]) => [code, new Set([...common, ...phrases(list)])]),
)
const any: ReadonlySet<string> = new Set([...known.values()].flatMap((each) => [...each]))

/** Words in the longest phrase above. */
const longestPhrase = 2

const wordsIn = (text: string): ReadonlyArray<string> =>
  text
    .toLowerCase()
    .replaceAll("’", "'")
    // "Mm-hmm" and "uh-huh" are one sound.
    .replace(/[-‐‑]/gu, "")
    .match(/[\p{L}\p{M}\p{N}']+/gu) ?? []

export const countWords = (text: string): number => wordsIn(text).length

/**
 * Whether a text is nothing but what listeners say while someone else speaks: "mhm", "yeah, right". `language`: an ISO
 * 639-1 code; where it is not known, those of all languages count.
 */
export const isBackchannel = (text: string, language: Option.Option<string>): boolean => {
  const code = Option.map(language, primaryLanguage)
  const list = Option.match(code, {
    onNone: () => any,
    onSome: (each) => known.get(each) ?? new Set(common),
  })
  const words = wordsIn(text)
  for (let at = 0; at < words.length; ) {
    const length = [longestPhrase, 1].find((count) => list.has(words.slice(at, at + count).join(" ")))
    if (length === undefined) return false
    at += length
  }
  return words.length > 0
}
