import { sentencesOf } from "../../text/sentence-end.ts"
import { forFlite } from "./flite.ts"
import { languageOf } from "./voices.ts"

/** What one program speaks in one go. */
export type SpokenPart =
  | { readonly engine: "flite"; readonly text: string }
  | { readonly engine: "espeak-ng"; readonly text: string; readonly language: string }

/** Flite speaks English; without espeak-ng also other text in Latin letters. Undefined: neither can speak it. */
const partOf = (
  text: string,
  language: string,
  has: { readonly flite: boolean; readonly espeak: boolean },
): SpokenPart | undefined => {
  const plain = has.flite && (language === "en-us" || !has.espeak) ? forFlite(text) : undefined
  if (plain !== undefined) return { engine: "flite", text: plain }
  return has.espeak ? { engine: "espeak-ng", text, language } : undefined
}

/**
 * The text as parts, in order. Flite gets one sentence at a time, because it gives no audio before the end of its text
 * (measured: 0.1 s a sentence); espeak-ng streams, and gets all neighbouring sentences of a language. Empty if no
 * program can speak it.
 */
export const spokenParts = (
  text: string,
  has: { readonly flite: boolean; readonly espeak: boolean },
): ReadonlyArray<SpokenPart> => {
  const usual = languageOf(text)
  const parts: Array<SpokenPart> = []
  for (const sentence of sentencesOf(text)) {
    const part = partOf(sentence, languageOf(sentence, usual), has)
    if (part === undefined) continue
    const last = parts.at(-1)
    const joins =
      part.engine === "espeak-ng" && last?.engine === "espeak-ng" && last.language === part.language
    if (joins) parts[parts.length - 1] = { ...part, text: `${last.text} ${part.text}` }
    else parts.push(part)
  }
  return parts
}
