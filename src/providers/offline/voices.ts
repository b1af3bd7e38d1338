/** The espeak-ng voice variant and pitch (0 to 99, default 50) for an OpenAI voice. */
interface Timbre {
  readonly variant: string
  readonly pitch: number
}

/**
 * Of 35 settings, pocketsphinx understands this one best: 0.30 of the words wrong over 38 sentences, where most others
 * get 0.4 to 0.9. So the engines understand their own speech.
 */
const usual: Timbre = { variant: "f2", pitch: 60 }
const wordsPerMinute = 155

const timbres = new Map<string, Timbre>([
  ["alloy", usual],
  ["ash", { variant: "edward", pitch: 45 }],
  ["ballad", { variant: "m1", pitch: 50 }],
  ["cedar", { variant: "m7", pitch: 40 }],
  ["coral", { variant: "f5", pitch: 50 }],
  ["echo", { variant: "m3", pitch: 50 }],
  ["fable", { variant: "m1", pitch: 60 }],
  ["marin", { variant: "f2", pitch: 40 }],
  ["nova", { variant: "f5", pitch: 65 }],
  ["onyx", { variant: "m7", pitch: 25 }],
  ["sage", { variant: "f3", pitch: 40 }],
  ["shimmer", { variant: "f3", pitch: 60 }],
  ["verse", { variant: "edward", pitch: 60 }],
])

/**
 * Scripts and letters that (nearly) name their language. The first match counts: Japanese text has kana and Han, Urdu text
 * has Persian letters too.
 */
const scripts: ReadonlyArray<readonly [language: string, script: RegExp]> = [
  ["ja", /[\p{Script=Hiragana}\p{Script=Katakana}]/u],
  ["cmn", /\p{Script=Han}/u],
  ["ko", /\p{Script=Hangul}/u],
  ["uk", /[іїєґ]/iu],
  ["ru", /\p{Script=Cyrillic}/u],
  ["ur", /[ٹڈڑںے]/u],
  ["fa", /[پچژگ]/u],
  ["ar", /\p{Script=Arabic}/u],
  ["he", /\p{Script=Hebrew}/u],
  ["hi", /\p{Script=Devanagari}/u],
  ["bn", /\p{Script=Bengali}/u],
  ["pa", /\p{Script=Gurmukhi}/u],
  ["gu", /\p{Script=Gujarati}/u],
  ["ta", /\p{Script=Tamil}/u],
  ["te", /\p{Script=Telugu}/u],
  ["kn", /\p{Script=Kannada}/u],
  ["ml", /\p{Script=Malayalam}/u],
  ["th", /\p{Script=Thai}/u],
  ["el", /\p{Script=Greek}/u],
  ["ka", /\p{Script=Georgian}/u],
  ["hy", /\p{Script=Armenian}/u],
  ["am", /\p{Script=Ethiopic}/u],
  ["my", /\p{Script=Myanmar}/u],
  ["or", /\p{Script=Oriya}/u],
  ["si", /\p{Script=Sinhala}/u],
]

/** Small words and letters that tell the languages in Latin script apart; English wins where none is ahead. */
const latin: ReadonlyArray<readonly [language: string, marks: RegExp]> = [
  ["en-us", /(?<!\p{L})(the|and|is|of|you|to|are|was|this|that|it|with|my|for|i)(?!\p{L})/giu],
  ["de", /(?<!\p{L})(der|die|das|und|ist|nicht|ich|ein|wie|guten)(?!\p{L})|[äöüß]/giu],
  ["fr-fr", /(?<!\p{L})(le|la|les|est|et|vous|je|une|bonjour)(?!\p{L})|[éèêàçùœ]/giu],
  ["es", /(?<!\p{L})(el|los|las|que|es|y|una|hola)(?!\p{L})|[ñ¿¡áíóú]/giu],
  ["it", /(?<!\p{L})(il|che|è|sono|di|per|non|ciao)(?!\p{L})|[ìò]/giu],
  ["pt-br", /(?<!\p{L})(o|os|não|uma|você|um|olá)(?!\p{L})|[ãõ]/giu],
  ["nl", /(?<!\p{L})(het|een|niet|ik|van|hallo)(?!\p{L})/giu],
  ["pl", /[ąćęłńśźż]/giu],
  ["cs", /[ěřůč]/giu],
  ["hu", /[őű]/giu],
  ["tr", /[ğışİ]/gu],
  ["ro", /[șță]/giu],
  ["sv", /[åä]/giu],
  ["vi", /[ơưđạảấầẩẫậếềểễệ]/giu],
]

/** How many more marks than the usual language another one needs: one "per" makes no Italian of an English sentence. */
const lead = 2

const scoresOf = (text: string) =>
  latin.map(([language, marks]) => ({ language, score: text.match(marks)?.length ?? 0 }))

/** Whether a language (ISO 639-1) may be in Latin script: text in another one names its language itself. */
export const isInLatin = (code: string): boolean =>
  code !== "zh" && !scripts.some(([language]) => language === code)

/** The voice for an ISO 639-1 code, if its language is one that small words tell: `en-us` for `en`. */
const latinVoice = (code: string): string | undefined =>
  latin.find(([language]) => language === code || language.startsWith(`${code}-`))?.[0]

/**
 * The espeak-ng voice for a text, by its script and, in Latin script, by its small words. `usual`: the language of the
 * text around it, or the one that is expected, which it has unless another one is clearly ahead: English alone, if `usual`
 * is none of the languages that small words tell, because its letters may be theirs.
 */
export const languageOf = (text: string, usual?: string): string => {
  const latinLetters = text.match(/\p{Script=Latin}/gu)?.length ?? 0
  const otherLetters = (text.match(/\p{L}/gu)?.length ?? 0) - latinLetters
  if (otherLetters > latinLetters) {
    return scripts.find(([, script]) => script.test(text))?.[0] ?? usual ?? "en-us"
  }
  const ranked = scoresOf(text)
  const voice = usual === undefined ? undefined : latinVoice(usual)
  const rivals = usual === undefined || voice !== undefined ? ranked : ranked.slice(0, 1)
  const best = rivals.reduce((best, next) => (next.score > best.score ? next : best))
  if (usual === undefined) return best.language
  const usualScore = ranked.find(({ language }) => language === voice)?.score ?? 0
  return best.score >= usualScore + lead ? best.language : (voice ?? usual)
}

/** `-v`, `-p` and `-s` for espeak-ng. An unknown voice has the usual timbre. */
export const voiceOptions = (language: string, voice: string): readonly string[] => {
  const { variant, pitch } = timbres.get(voice) ?? usual
  return ["-v", `${language}+${variant}`, "-p", `${pitch}`, "-s", `${wordsPerMinute}`]
}
