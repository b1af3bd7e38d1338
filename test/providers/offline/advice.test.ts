import { expect, test } from "bun:test"
import { Option } from "effect"
import {
  hearingAdvice,
  type Serving,
  speakingAdvice,
  thinkingAdvice,
  withKeyAdvice,
} from "../../../src/providers/offline/advice.ts"

const serving = (given: Partial<Serving> & { readonly name: string }): Serving => ({
  wish: "default-model",
  language: Option.none(),
  installed: Option.none(),
  canRunModels: true,
  ...given,
})
const moonshine = Option.some({ name: "moonshine-tiny-en", languages: ["en"] })
const whisper = Option.some({ name: "whisper-base", languages: ["en", "de"] })
const german = Option.some("de")

test.each<[string, Serving, string]>([
  ["no model", serving({ name: "pocketsphinx" }), "`./voice-agent models pull --default`"],
  ["nothing at all", serving({ name: "none" }), "`./voice-agent models pull --default`"],
  ["English", serving({ name: "none", language: Option.some("en-GB") }), "pull --default`"],
  ["no recognizer for another language", serving({ name: "none", language: german }), "pull --stt`"],
  [
    "a program without the language",
    serving({ name: "pocketsphinx", language: german }),
    'pocketsphinx knows en, and STT_LANGUAGE is "de". Run `./voice-agent models pull --stt --language de` and restart.',
  ],
  [
    "a model without the language",
    serving({ name: "moonshine-tiny-en", installed: moonshine, language: Option.some("de-AT") }),
    'moonshine-tiny-en knows en, and STT_LANGUAGE is "de-AT". Run `./voice-agent models pull --stt --language de` and restart.',
  ],
  [
    "a model of the settings without the language",
    serving({
      name: "moonshine-tiny-en",
      wish: "moonshine-tiny-en",
      installed: moonshine,
      language: german,
    }),
    "Remove STT_MODEL, run `./voice-agent models pull --stt --language de` and restart.",
  ],
  [
    "a program of the settings without the language",
    serving({ name: "pocketsphinx", wish: "pocketsphinx", language: german }),
    "Remove STT_MODEL,",
  ],
  [
    "a language that no model knows",
    serving({ name: "moonshine-tiny-en", installed: moonshine, language: Option.some("xh") }),
    "No offline engine knows it: set OPENAI_API_KEY",
  ],
  ["no package", serving({ name: "pocketsphinx", canRunModels: false }), "sherpa-onnx-node"],
  ["a model that fails", serving({ name: "pocketsphinx", installed: moonshine }), "`./voice-agent doctor`"],
  ["English only", serving({ name: "moonshine-tiny-en", installed: moonshine }), "understands English only"],
  [
    "a program that is missing",
    serving({ name: "none", wish: "pocketsphinx" }),
    "`apt-get install pocketsphinx",
  ],
])("hearing with %s", (_, given, words) => {
  expect(Option.getOrThrow(hearingAdvice(given))).toContain(words)
})

test.each<[string, Serving]>([
  ["many languages", serving({ name: "whisper-base", installed: whisper })],
  [
    "a language that is set",
    serving({ name: "moonshine-tiny-en", installed: moonshine, language: Option.some("en") }),
  ],
  ["the program of STT_MODEL", serving({ name: "pocketsphinx", wish: "pocketsphinx" })],
])("nothing to say of hearing with %s", (_, given) => {
  expect(hearingAdvice(given)).toEqual(Option.none())
})

const voice = Option.some({ name: "supertonic-3", languages: ["en"] })

test.each<[string, Serving, string]>([
  ["a program", serving({ name: "flite" }), "`./voice-agent models pull --tts`"],
  ["no program", serving({ name: "none" }), "`apt-get install flite espeak-ng`"],
  ["no package", serving({ name: "flite", canRunModels: false }), "`bun install`"],
  ["a voice that fails", serving({ name: "flite", installed: voice }), "supertonic-3 does not run"],
])("speaking with %s", (_, given, words) => {
  expect(Option.getOrThrow(speakingAdvice(given))).toContain(words)
})

test.each<[string, Serving]>([
  ["a voice", serving({ name: "supertonic-3", installed: voice })],
  ["the program of TTS_MODEL", serving({ name: "espeak-ng", wish: "espeak-ng" })],
  ["a language without a voice", serving({ name: "espeak-ng", language: Option.some("th") })],
])("nothing to say of speaking with %s", (_, given) => {
  expect(speakingAdvice(given)).toEqual(Option.none())
})

test("without a package, no advice names a command that changes nothing", () => {
  const given = serving({ name: "none", canRunModels: false })
  for (const advice of [hearingAdvice(given), speakingAdvice({ ...given, name: "flite" })]) {
    expect(Option.getOrThrow(advice)).not.toContain("models pull")
  }
})

test("thinking", () => {
  expect(Option.getOrThrow(thinkingAdvice("talker", { ollama: true }))).toContain("models pull --llm")
  expect(Option.getOrThrow(thinkingAdvice("talker", { ollama: false }))).toContain("OLLAMA=off")
  expect(thinkingAdvice("ollama/llama3.2:3b", { ollama: true })).toEqual(Option.none())
})

test("a key is always a way", () => {
  expect(withKeyAdvice([])).toBe("For OpenAI's engines, set OPENAI_API_KEY.")
  expect(withKeyAdvice(["One.", "Two."])).toBe("One. Two. For OpenAI's engines, set OPENAI_API_KEY.")
})
