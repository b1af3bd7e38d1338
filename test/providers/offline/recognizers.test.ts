/** Recognizers, by models in their form without weights. Silero VAD is the real one. */
import { describe, expect, test } from "bun:test"
import { Option } from "effect"
import { libraryWith } from "../../support/fake-models/library.ts"
import { transducer } from "../../support/fake-models/transducer.ts"
import { whisper } from "../../support/fake-models/whisper.ts"
import { ffmpeg } from "../../support/ffmpeg.ts"
import { hasDetector, library as real } from "../../support/offline-models.ts"
import { childPids, type RunningEngines, start } from "./engines.ts"

const question = new URL("../../../examples/question.wav", import.meta.url).pathname

const speech = async () => {
  const file = await Bun.file(question).bytes()
  const bytes = await ffmpeg(["-i", "pipe:0", "-ac", "1", "-ar", "16000", "-f", "s16le", "pipe:1"], file)
  return new Int16Array(bytes.slice().buffer)
}

const parakeet = {
  name: "parakeet",
  loader: "transducer",
  languages: ["en", "de", "fr"],
  contents: transducer(["guten", "Tag"]),
} as const

const whisperBase = {
  name: "whisper",
  loader: "whisper",
  languages: ["en", "de", "ja"],
  contents: whisper({ en: "hello", de: "hallo", ja: "こんにちは" }),
} as const

const moonshine = {
  name: "moonshine",
  loader: "moonshine",
  languages: ["en"],
  contents: { "encoder_model.onnx": new Uint8Array(10) },
} as const

type Models = Parameters<typeof libraryWith>[0]

const withModels = async (
  models: Models,
  use: (engines: RunningEngines) => Promise<void>,
  wish: { readonly model?: string; readonly language?: string } = {},
) => {
  const engines = await start({
    ffmpegPath: "ffmpeg",
    library: await libraryWith(models, { folders: real.folders, names: ["silero-vad"] }),
    hearing: { model: wish.model ?? "whisper-1", language: Option.fromNullable(wish.language) },
  })
  await use(engines).finally(engines.stop)
}

describe.skipIf(!hasDetector)("a transducer", () => {
  test("hears, and hears nothing in silence", () =>
    withModels([parakeet], async (engines) => {
      expect(engines.names.stt()).toBe("parakeet")
      expect(await engines.hear(await speech())).toMatch(/^(guten Tag ?)+$/)
      expect(await engines.hear(await speech(), undefined, "de-CH")).toMatch(/guten Tag/)
      expect(await engines.hear(new Int16Array(32_000))).toBe("")
      await expect(engines.hear(await speech(), undefined, "ja")).rejects.toThrow(
        'does not know the language "ja", only en, de, fr. Run ./voice-agent models pull --stt --language ja',
      )
    }))

  test("a killed process fails the request, and the next one is heard", () =>
    withModels([parakeet], async (engines) => {
      expect(await engines.hear(await speech())).toMatch(/guten Tag/)
      const [pid] = await childPids(1)
      const samples = await speech()
      const long = new Int16Array(40 * samples.length)
      for (let at = 0; at < 40; at++) long.set(samples, at * samples.length)
      const heard = engines.hear(long)
      await Bun.sleep(20)
      process.kill(Number(pid), "SIGKILL")
      await expect(heard).rejects.toThrow("SIGKILL")
      expect(await engines.hear(samples)).toMatch(/guten Tag/)
    }))
})

describe.skipIf(!hasDetector)("Whisper", () => {
  test("detects the language, or hears in the one of the request", () =>
    withModels([whisperBase], async (engines) => {
      const samples = await speech()
      expect(await engines.hear(samples)).toMatch(/^(hello ?)+$/)
      const languages = ["de", "ja", "en", "de", undefined, "ja"]
      const heard = await Promise.all(languages.map((language) => engines.hear(samples, undefined, language)))
      const words = heard.map((text) => [...new Set(text.split(" "))].join(" "))
      expect(words).toEqual(["hallo", "こんにちは", "hello", "hallo", "hello", "こんにちは"])
    }))

  test("refuses a language that would end its process", () =>
    withModels([whisperBase], async (engines) => {
      await expect(engines.hear(await speech(), undefined, "xx")).rejects.toThrow(
        'does not know the language "xx"',
      )
      expect(await engines.hear(await speech())).toMatch(/hello/)
    }))
})

describe.skipIf(!hasDetector)("the choice", () => {
  const all = [moonshine, parakeet, whisperBase]

  test.each([
    ["without a language", {}, "parakeet"],
    ["English", { language: "en" }, "moonshine"],
    ["British English", { language: "en-GB" }, "moonshine"],
    ["German", { language: "de" }, "parakeet"],
    ["Japanese", { language: "ja" }, "whisper"],
    ["a language that none knows", { language: "xx" }, "moonshine"],
    ["STT_MODEL", { model: "whisper" }, "whisper"],
    ["STT_MODEL, whatever the language", { model: "moonshine", language: "de" }, "moonshine"],
  ])("%s", async (_, wish, name) => {
    const engines = await chosen(all, wish)
    expect(engines).toBe(name)
  })

  test("pocketsphinx by its name", async () => {
    expect(await chosen(all, { model: "pocketsphinx" })).toBeOneOf(["pocketsphinx", "none"])
  })

  test("a model that is not installed stops the start", async () => {
    const library = { folders: [(await libraryWith([])).folders[0]] as const, manifest: real.manifest }
    const hearing = { model: "parakeet-tdt-0.6b-v3", language: Option.none() }
    await expect(start({ ffmpegPath: "ffmpeg", library, hearing })).rejects.toThrow(
      "STT_MODEL is parakeet-tdt-0.6b-v3, which is not installed. Run: ./voice-agent models pull parakeet-tdt-0.6b-v3",
    )
  })

  test("a detector that is missing", async () => {
    const library = await libraryWith(all)
    const engines = await start({ ffmpegPath: "ffmpeg", library })
    expect(engines.names.stt()).toBeOneOf(["pocketsphinx", "none"])
    await engines.stop()
  })
})

const chosen = async (models: Models, wish: { readonly model?: string; readonly language?: string }) => {
  let name = ""
  await withModels(
    models,
    async (engines) => {
      name = engines.names.stt()
    },
    wish,
  )
  return name
}

describe.skipIf(!hasDetector)("a failed recognizer", () => {
  const broken = { ...parakeet, contents: { ...parakeet.contents, "joiner.int8.onnx": new Uint8Array(500) } }

  test("English is heard by pocketsphinx, other languages fail", () =>
    withModels([broken], async (engines) => {
      const [heard] = await Promise.allSettled([engines.hear(await speech(), undefined, "en")])
      expect(heard?.status).toBe("fulfilled")
      await expect(engines.hear(await speech(), undefined, "de")).rejects.toThrow()
      expect(engines.names.stt()).toBeOneOf(["pocketsphinx", "none"])
    }))
})
