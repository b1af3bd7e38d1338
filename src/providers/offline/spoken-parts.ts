import { partsOf } from "../../text/break-points.ts"
import { sentencesOf } from "../../text/sentence-end.ts"
import { forFlite } from "./flite.ts"
import { languageOf } from "./voices.ts"

/** What a model speaks in one go. */
export interface ModelPart {
  readonly engine: "model"
  readonly text: string
  /** ISO 639-1. */
  readonly language: string
}

/** What one program speaks in one go. */
export type ProgramPart =
  | { readonly engine: "flite"; readonly text: string }
  | { readonly engine: "espeak-ng"; readonly text: string; readonly language: string }

export type SpokenPart = ModelPart | ProgramPart

/** The programs that can speak. */
interface Programs {
  readonly flite: boolean
  readonly espeak: boolean
}

/** What can speak. */
export interface Speakers extends Programs {
  /** The languages of the model that speaks; none without one. ISO 639-1. */
  readonly model?: ReadonlyArray<string>
  /** The language that the user is expected to speak, which the model takes a text for unless it clearly is of another. */
  readonly usual?: string
}

/**
 * The longest part for a model, in characters: about 13 s of speech. It gives no audio before the end of a part, and
 * what is cancelled is made to the end of its part.
 */
const [modelCharacters, leastCharacters] = [200, 40]

const forModel = (text: string, { model = [], usual }: Speakers, around: string) => {
  const spoken = languageOf(text, usual ?? around)
  const language = spoken === "cmn" ? "zh" : spoken.replace(/-.*/, "")
  const plain = text.replace(/[\p{Cc}\p{Z}]+/gu, " ").trim()
  if (!model.includes(language) || !/[\p{L}\p{N}]/u.test(plain)) return undefined
  return partsOf(plain, modelCharacters, leastCharacters).map(
    (part): ModelPart => ({ engine: "model", text: part, language }),
  )
}

/** Flite speaks English; without espeak-ng also other text in Latin letters. Undefined: neither can speak it. */
const forProgram = (text: string, around: string, { flite, espeak }: Programs): ProgramPart | undefined => {
  const language = languageOf(text, around)
  const plain = flite && (language === "en-us" || !espeak) ? forFlite(text) : undefined
  if (plain !== undefined) return { engine: "flite", text: plain }
  return espeak ? { engine: "espeak-ng", text, language } : undefined
}

/** Adds a part; espeak-ng gets neighbours of one language together. */
const add = <Part extends SpokenPart>(parts: Array<Part | ProgramPart>, part: ProgramPart) => {
  const last = parts.at(-1)
  const joins = part.engine === "espeak-ng" && last?.engine === "espeak-ng" && last.language === part.language
  if (joins) parts[parts.length - 1] = { ...part, text: `${last.text} ${part.text}` }
  else parts.push(part)
}

/** The text as parts for the programs, in order. Empty if none can speak it. */
export const programParts = (text: string, programs: Programs): ReadonlyArray<ProgramPart> => {
  const around = languageOf(text)
  const parts: Array<ProgramPart> = []
  for (const sentence of sentencesOf(text)) {
    const part = forProgram(sentence, around, programs)
    if (part !== undefined) add(parts, part)
  }
  return parts
}

/**
 * The text as parts, in order. A model and flite get one sentence at a time, because they give no audio before the end of
 * their text (flite measured: 0.1 s a sentence); espeak-ng streams, and gets all neighbouring sentences of a language.
 * Empty if nothing can speak it.
 */
export const spokenParts = (text: string, speakers: Speakers): ReadonlyArray<SpokenPart> => {
  const around = languageOf(text)
  const parts: Array<SpokenPart> = []
  for (const sentence of sentencesOf(text)) {
    const ofModel = forModel(sentence, speakers, around)
    const part = ofModel === undefined ? forProgram(sentence, around, speakers) : undefined
    parts.push(...(ofModel ?? []))
    if (part !== undefined) add(parts, part)
  }
  return parts
}
