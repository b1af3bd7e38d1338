import { WAV_HEADER_BYTES } from "../../audio/wav.ts"

/** A voice of flite, and the gain in dB that makes it as loud as espeak-ng: about -19 LUFS. */
export interface FliteVoice {
  readonly name: "slt" | "rms"
  readonly gain: number
}

/** The woman (measured: -15.7 LUFS) and the man (-20.8 LUFS) that listeners and recognizers understand best. */
const slt: FliteVoice = { name: "slt", gain: -3 }
const rms: FliteVoice = { name: "rms", gain: 1.5 }

/** OpenAI's voices of men. */
export const men: ReadonlySet<string> = new Set(["ash", "ballad", "cedar", "echo", "fable", "onyx", "verse"])

/** The voice of flite for a voice of OpenAI. An unknown voice is a woman's, as the usual one is. */
export const fliteVoice = (voice: string): FliteVoice => (men.has(voice) ? rms : slt)

/** Signs that flite would leave out. */
const signs: ReadonlyArray<readonly [RegExp, string]> = [
  [/[‘’‛ʼ]/g, "'"],
  [/[“”„«»]/g, '"'],
  [/\s*[–—]\s*/g, ", "],
  [/…/g, "..."],
  [/€\s?(\d[\d.,]*\d|\d)/g, "$1 euros"],
  [/£\s?(\d[\d.,]*\d|\d)/g, "$1 pounds"],
  [/°C\b/g, " degrees Celsius"],
  [/°F\b/g, " degrees Fahrenheit"],
  [/°/g, " degrees"],
  [/×/g, " times "],
]

/** The text in ASCII, with letters of foreign words without their accents. Other letters and signs stay. */
const inAscii = (text: string): string =>
  signs
    .reduce((given, [sign, word]) => given.replace(sign, word), text)
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .replace(/[\p{Cc}\p{Z}]+/gu, " ")

/** The text, if flite reads all of it. Undefined if it would lose a letter or a sign, or if no word is in it. */
export const forFlite = (text: string): string | undefined => {
  const plain = inAscii(text)
  return /^[ -~]*$/.test(plain) && /[A-Za-z0-9]/.test(plain) ? plain : undefined
}

/** What flite reads of a text that nothing else speaks: the rest is left out. Undefined if no word is left. */
export const partForFlite = (text: string): string | undefined =>
  forFlite(inAscii(text).replace(/[^ -~]+/g, " "))

/** Whether a WAV of flite has all samples that its header counts: on a full disk flite writes a part, and reports success. */
export const isWhole = (wav: Uint8Array): boolean =>
  wav.length > WAV_HEADER_BYTES &&
  new DataView(wav.buffer, wav.byteOffset).getUint32(WAV_HEADER_BYTES - 4, true) ===
    wav.length - WAV_HEADER_BYTES
