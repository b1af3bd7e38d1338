import { Array as Arr, Effect, Option } from "effect"
import type { Library } from "../../models/store.ts"
import { men } from "./flite.ts"
import { chooseEngine, type ModelEngine } from "./model-engine.ts"

/** TTS_MODEL for no model: the programs speak. */
const programs = ["flite", "espeak-ng"]

/** The model that speaks, if one is installed: the one that TTS_MODEL names, or the first one of the manifest. */
export const findVoice = Effect.fn("findVoice")(function* (library: Library, model: string) {
  if (programs.includes(model)) return Option.none()
  return yield* chooseEngine(library, "tts", model, Arr.head)
})

/** Voices of OpenAI, in an order in which neighbours differ. */
const women = ["alloy", "nova", "shimmer", "coral", "sage", "marin"]

/**
 * The number of the voice with this name, in any letter case, or with this number from 1 on. A voice of OpenAI has one
 * of its own sex, where the names say it (F1, M1). Any other name has the first one.
 */
export const speakerOf = ({ voices }: Pick<ModelEngine, "voices">, voice: string): number => {
  const name = voice.toLowerCase()
  const named = voices.findIndex((each) => each.toLowerCase() === name)
  if (named >= 0) return named
  if (/^\d+$/.test(name)) return Number(name) >= 1 && Number(name) <= voices.length ? Number(name) - 1 : 0
  const [letter, names] = men.has(name) ? ["m", [...men]] : ["f", women]
  const own = voices.flatMap((each, index) => (new RegExp(`^${letter}\\d`, "i").test(each) ? [index] : []))
  return own[names.indexOf(name) % own.length] ?? 0
}
