import { partsOf } from "../../text/break-points.ts"
import { sentencesOf } from "../../text/sentence-end.ts"
import { forFlite, partForFlite } from "./flite.ts"
import { isInLatin, languageOf } from "./voices.ts"

/** What a model speaks, one text after the other. */
export interface ModelPart {
  readonly engine: "model"
  readonly texts: ReadonlyArray<string>
  /** ISO 639-1. */
  readonly language: string
}

/** What one program speaks in one go. */
export type ProgramPart =
  | { readonly engine: "flite"; readonly text: string }
  | { readonly engine: "espeak-ng"; readonly text: string; readonly language: string }

export type SpokenPart = ModelPart | ProgramPart

export const isProgramPart = (part: SpokenPart): part is ProgramPart => part.engine !== "model"

/** The programs that can speak. */
interface Programs {
  readonly flite: boolean
  readonly espeak: boolean
}

/** What can speak. */
export interface Speakers extends Programs {
  /** The languages of the model that speaks, ISO 639-1; none without one. */
  readonly languages?: ReadonlyArray<string>
  /** The language that the user is expected to speak, which the model takes a text for unless it clearly is of another. */
  readonly usual?: string
}

/**
 * The longest part for a model, in characters: about 13 s of speech. It gives no audio before the end of a part, and
 * what is cancelled is made to the end of its part.
 */
const [modelCharacters, leastCharacters] = [200, 40]

const forModel = (
  text: string,
  { languages = [], usual }: Speakers,
  around: string,
): ModelPart | undefined => {
  const spoken = languageOf(text, usual !== undefined && isInLatin(usual) ? usual : around)
  const language = spoken === "cmn" ? "zh" : spoken.replace(/-.*/, "")
  const plain = text.replace(/[\p{Cc}\p{Z}]+/gu, " ").trim()
  if (!languages.includes(language) || !/[\p{L}\p{N}]/u.test(plain)) return undefined
  return { engine: "model", texts: partsOf(plain, modelCharacters, leastCharacters), language }
}

/** Flite speaks English; without espeak-ng also other text in Latin letters. Undefined: neither can speak it. */
const forProgram = (text: string, around: string, { flite, espeak }: Programs): ProgramPart | undefined => {
  const language = languageOf(text, around)
  const whole = flite && (language === "en-us" || !espeak) ? forFlite(text) : undefined
  const plain = whole ?? (flite && !espeak ? partForFlite(text) : undefined)
  if (plain !== undefined) return { engine: "flite", text: plain }
  return espeak ? { engine: "espeak-ng", text, language } : undefined
}

/** What follows in the same language goes to the same model, or to the same start of espeak-ng. */
const joined = (last: SpokenPart | undefined, part: SpokenPart): SpokenPart | undefined => {
  if (last?.engine === "model" && part.engine === "model" && last.language === part.language) {
    return { ...part, texts: [...last.texts, ...part.texts] }
  }
  if (last?.engine === "espeak-ng" && part.engine === "espeak-ng" && last.language === part.language) {
    return { ...part, text: `${last.text} ${part.text}` }
  }
  return undefined
}

const joinAll = (parts: ReadonlyArray<SpokenPart>): ReadonlyArray<SpokenPart> => {
  const all: Array<SpokenPart> = []
  for (const part of parts) {
    const both = joined(all.at(-1), part)
    if (both === undefined) all.push(part)
    else all[all.length - 1] = both
  }
  return all
}

/**
 * The text as parts, in order. A model and flite get one sentence at a time, because they give no audio before the end of
 * their text (flite measured: 0.1 s a sentence); espeak-ng streams, and gets all neighbouring sentences of a language.
 * Empty if nothing can speak it.
 */
export const spokenParts = (text: string, speakers: Speakers): ReadonlyArray<SpokenPart> => {
  const around = languageOf(text)
  return joinAll(
    sentencesOf(text).flatMap((sentence) => {
      const part = forModel(sentence, speakers, around) ?? forProgram(sentence, around, speakers)
      return part === undefined ? [] : [part]
    }),
  )
}
