import { Option, Redacted } from "effect"
import { type Pcm16k, sampleRate } from "../../audio/pcm.ts"
import { wavHeader } from "../../audio/wav.ts"
import type { TranscribeOptions } from "../transcriber.ts"
import type { Optional } from "./adapt.ts"
import type { Choice } from "./refusal.ts"

/** A field that servers may refuse. */
export const field = (name: string, value: unknown, names: Choice["names"] = [name]): Choice => ({
  field: name,
  value,
  lesson: { parameter: name, value },
  names,
  sayings: [],
  isTokenLimit: false,
  statuses: [400, 422],
})

/** A field with a word as its value, by which a refusal may name it: `verbose_json`, `alloy`. */
export const wordField = (name: string, word: string): Choice => field(name, word, [name, word])

/** A part that the request has only with a value. */
export const optional = <A>(
  value: Option.Option<A>,
  choices: (value: A) => Optional,
): ReadonlyArray<Optional> => Option.match(value, { onNone: () => [], onSome: (some) => [choices(some)] })

/** Only `verbose_json` has segments. OpenAI's models after Whisper do not know it. */
const defaultFormat = (model: string) => (/whisper/i.test(model) ? "verbose_json" : "json")

/** Characters of a prompt. Whisper reads the last 224 tokens of it alone. */
const maxPrompt = 600

/** A prompt of the terms, the first ones first where there is no room for all. Recognizers take its spelling over. */
export const promptOf = (keyTerms: ReadonlyArray<string>): string => {
  let prompt = ""
  for (const term of keyTerms) {
    const longer = prompt === "" ? term : `${prompt}, ${term}`
    if (longer.length > maxPrompt) break
    prompt = longer
  }
  return prompt
}

/** `format`: as configured; None: by the model. */
export const transcriptionFields = (
  { model, language, keyTerms = [] }: TranscribeOptions,
  format: Option.Option<string>,
): ReadonlyArray<Optional> => {
  const prompt = Option.liftPredicate(promptOf(keyTerms), (text) => text !== "")
  const formats = new Set([Option.getOrElse(format, () => defaultFormat(model)), "json"])
  return [
    [...formats].map((word) => wordField("response_format", word)),
    ...optional(language, (code) => [field("language", code)]),
    // The lesson has none of the user's words.
    ...optional(prompt, (text) => [
      { ...field("prompt", text), lesson: { parameter: "prompt", value: "key terms" } },
    ]),
  ]
}

/** A WAV of the samples. They are not copied. */
const wavFile = ({ bytes }: Pcm16k) => {
  const header = wavHeader({ sampleRate, channels: 1, bitsPerSample: 16, dataBytes: bytes.length })
  return new File([header, bytes], "speech.wav", { type: "audio/wav" })
}

/** The form of a transcription. A list is sent as OpenAI reads it: `timestamp_granularities[]`, once for each value. */
export const transcriptionForm = (
  speech: Pcm16k,
  model: string,
  fields: Readonly<Record<string, unknown>>,
): FormData => {
  const form = new FormData()
  form.append("file", wavFile(speech))
  form.append("model", model)
  const append = (name: string, value: unknown) =>
    form.append(name, typeof value === "object" ? JSON.stringify(value) : `${value}`)
  for (const [name, value] of Object.entries(fields)) {
    if (Array.isArray(value)) for (const each of value) append(`${name}[]`, each)
    else append(name, value)
  }
  return form
}

/** Ollama refuses an effort in other words: "invalid reasoning value", and "think value "none" is not supported" with a 500. */
const furtherField = (name: string, value: unknown): Choice =>
  name === "reasoning_effort"
    ? { ...field(name, value), sayings: [/\b(?:reasoning|think(?:ing)?) value/i], statuses: [400, 422, 500] }
    : field(name, value)

/** The further fields of the configuration. They replace those of the same name. */
export const withSettings = (
  optionals: ReadonlyArray<Optional>,
  omit: ReadonlyArray<string>,
  extraBody: Readonly<Record<string, unknown>>,
): ReadonlyArray<Optional> => {
  const isReplaced = ({ field }: Choice) => Object.hasOwn(extraBody, field)
  return [
    ...optionals.filter((choices) => !choices.some(isReplaced)),
    // An operator may have put a secret there.
    ...Object.entries(extraBody).map(([name, value]) => [
      { ...furtherField(name, value), lesson: { parameter: name, value: Redacted.make(value) } },
    ]),
  ].map((choices) =>
    choices.filter(
      ({ lesson, names }) =>
        names.length === 0 ||
        ![lesson.parameter, ...names].some((name) => typeof name === "string" && omit.includes(name)),
    ),
  )
}
