/** Voices of models, by models in their form without weights: each speaker is a tone of its own. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { truncate } from "node:fs/promises"
import { join } from "node:path"
import { Option } from "effect"
import { wavHeader } from "../../../src/audio/wav.ts"
import { isFileModel, manifest } from "../../../src/models/manifest.ts"
import { folderOf, type Library } from "../../../src/models/store.ts"
import { speakerOf } from "../../../src/providers/offline/pulled-voice.ts"
import { libraryWith } from "../../support/fake-models/library.ts"
import { pocket } from "../../support/fake-models/pocket.ts"
import { frequencyOf, secondsPerCharacter, supertonic } from "../../support/fake-models/supertonic.ts"
import { hasEngines } from "../../support/offline-models.ts"
import { childPids, peakOf, type RunningEngines, samples, start } from "./engines.ts"

const voices = ["F1", "F2", "F3", "F4", "F5", "M1", "M2", "M3", "M4", "M5"]

const fake = (options: Parameters<typeof supertonic>[0] = {}) =>
  libraryWith([
    {
      name: "supertonic-3",
      loader: "supertonic",
      role: "tts",
      voices,
      languages: ["en", "de"],
      contents: supertonic(options),
    },
  ])

/** The loudest frequency of the speech in its first half second, in Hz, by its zero crossings. */
const frequencyIn = (pcm: Int16Array, rate = 24_000) => {
  const part = pcm.subarray(0, rate / 2)
  let crossings = 0
  for (let at = 1; at < part.length; at++) {
    if ((part[at - 1] ?? 0) < 0 !== (part[at] ?? 0) < 0) crossings += 1
  }
  return crossings
}

const speaks = async (engines: RunningEngines, text: string, voice: string) => {
  const pcm = await samples(await engines.speak(text, { voice }), "pcm")
  return { hz: frequencyIn(pcm), seconds: pcm.length / 24_000 }
}

describe.skipIf(!hasEngines)("a voice", () => {
  let library: Library
  let engines: RunningEngines
  beforeAll(async () => {
    library = await fake()
    engines = await start({ ffmpegPath: "ffmpeg", library })
  })
  afterAll(() => engines?.stop())

  test("names itself", () => {
    expect(engines.names.tts()).toBe("supertonic-3")
  })

  test.each(["mp3", "pcm"] as const)("is 24 kHz audio as %s", async (format) => {
    const pcm = await samples(await engines.speak("Hello there, how are you?", { format }), format)
    expect(frequencyIn(pcm.subarray(2000))).toBeCloseTo(frequencyOf(0), -2)
    expect(peakOf(pcm)).toBeGreaterThan(5000)
  })

  test.each([
    ["F1", 0],
    ["f3", 2],
    ["M5", 9],
    ["1", 0],
    ["10", 9],
    ["alloy", 0],
    ["nova", 1],
    ["ash", 5],
    ["nobody", 0],
    ["0", 0],
    ["11", 0],
    ["-1", 0],
  ])("%s is speaker %i", async (voice, speaker) => {
    const { hz } = await speaks(engines, "Hello there.", voice)
    expect(hz).toBeCloseTo(frequencyOf(speaker), -2)
  })

  test("languages that it knows, and others by the programs", async () => {
    const german = await speaks(engines, "Guten Tag, wie geht es dir?", "M1")
    expect(german.hz).toBeCloseTo(frequencyOf(5), -2)
    const russian = await samples(await engines.speak("Добрый день, как дела?", { voice: "M1" }), "pcm")
    expect(Math.abs(frequencyIn(russian) - frequencyOf(5))).toBeGreaterThan(300)
    expect(peakOf(russian)).toBeGreaterThan(1000)
  })

  test("a long text, sentence by sentence", async () => {
    const arrivals: Array<number> = []
    const text = "This is a sentence. ".repeat(20)
    const audio = await engines.speak(text, { onAudio: (bytes) => arrivals.push(bytes.length) })
    expect(audio.length / 48_000).toBeWithin(20 * 19 * secondsPerCharacter, 20 * 40 * secondsPerCharacter)
    // On a busy machine, some sentences arrive together.
    expect(arrivals.length).toBeGreaterThan(10)
  })

  test.each([
    ["a sentence without an end", "word ".repeat(1000)],
    ["a word without an end", "x".repeat(3000)],
    ["control characters", "Hello\u0000 there.\u0007"],
    ["half a pair", "Hello \ud83d there."],
  ])("%s", async (_, text) => {
    expect((await engines.speak(text)).length / 48_000).toBeGreaterThan(
      Math.min(100, (text.length - 20) * secondsPerCharacter),
    )
  })

  test.each(["", "  ", "…", "。", "😀", "\u0000"])("no words: %j", async (text) => {
    expect((await engines.speak(text)).length).toBeGreaterThan(1000)
  })

  test("twelve at once", async () => {
    const said = Array.from({ length: 12 }, (_, index) =>
      speaks(engines, "Hello there.", `${(index % 10) + 1}`),
    )
    for (const [index, { hz }] of (await Promise.all(said)).entries()) {
      expect(hz).toBeCloseTo(frequencyOf(index % 10), -2)
    }
  })
})

describe.skipIf(!hasEngines)("a voice that fails", () => {
  const quiet =
    (use: (engines: RunningEngines, library: Library) => Promise<void>, options = {}) =>
    async () => {
      const library = await fake(options)
      const engines = await start({ ffmpegPath: "ffmpeg", library })
      await use(engines, library).finally(engines.stop)
    }
  const pathOf = (library: Library, file: string) => {
    const model = library.manifest.filter(isFileModel).find(({ role }) => role === "tts")
    if (model === undefined) throw new Error("no voice")
    return join(folderOf(library.folders[0], model), file)
  }
  const programsSpeak = async (library: Library, status: "ok" | "degraded") => {
    const engines = await start({ ffmpegPath: "ffmpeg", library })
    expect(peakOf(await samples(await engines.speak("Hello there."), "pcm"))).toBeGreaterThan(1000)
    expect(engines.names.tts()).toBeOneOf(["flite", "espeak-ng", "none"])
    expect(engines.statuses.tts()).toBe(engines.names.tts() === "none" ? "failing" : status)
    await engines.stop()
  }
  const long = "This is a sentence of some words. ".repeat(8)

  test(
    "a killed process fails the speech, and the next one speaks",
    quiet(
      async (engines) => {
        const [pid] = await childPids(1)
        const heard = Promise.withResolvers<void>()
        const spoken = engines.speak(long, { onAudio: () => heard.resolve() })
        await heard.promise
        process.kill(Number(pid), "SIGKILL")
        await expect(spoken).rejects.toThrow("SIGKILL")
        expect((await speaks(engines, "Hello there.", "F2")).hz).toBeCloseTo(frequencyOf(1), -2)
      },
      // Long enough for a kill after the first sentence, and far below the time limit of a step on a busy machine.
      { work: 500 },
    ),
  )

  test(
    "an interrupted speech stops the model",
    quiet(
      async (engines) => {
        const abort = new AbortController()
        let parts = 0
        const spoken = engines.speak(long, {
          signal: abort.signal,
          onAudio: () => {
            parts += 1
            abort.abort()
          },
        })
        // Not `rejects` alone: within it, the first part arrives after 3 s only.
        expect(await Promise.allSettled([spoken])).toMatchObject([{ status: "rejected" }])
        const atAbort = parts
        expect((await speaks(engines, "Hello there.", "F3")).hz).toBeCloseTo(frequencyOf(2), -2)
        expect(parts).toBe(atAbort)
      },
      { work: 800 },
    ),
  )

  test.each(["vocoder.int8.onnx", "voice.bin", "tts.json", "unicode_indexer.bin"])(
    "a truncated %s is not loaded: the programs speak",
    async (file) => {
      const library = await fake()
      await truncate(pathOf(library, file), 30)
      await programsSpeak(library, "ok")
    },
  )

  test("one with other bytes is not loaded", async () => {
    const library = await fake()
    const path = pathOf(library, "vocoder.int8.onnx")
    const bytes = await Bun.file(path).bytes()
    bytes[50] = (bytes[50] ?? 0) ^ 1
    await Bun.write(path, bytes)
    await programsSpeak(library, "degraded")
  })

  test("one with wrong bytes ends its process only", async () => {
    const wrong = { ...supertonic(), "vocoder.int8.onnx": new Uint8Array(2000).fill(7) }
    const library = await libraryWith([
      { name: "wrong", loader: "supertonic", role: "tts", voices, contents: wrong },
    ])
    await programsSpeak(library, "degraded")
  })
})

describe.skipIf(!hasEngines)("TTS_MODEL", () => {
  const speaking = (model: string) => ({ speaking: { model, language: Option.none() } })

  test.each([
    ["tts-1", "supertonic-3"],
    ["supertonic-3", "supertonic-3"],
    ["flite", "flite"],
    ["espeak-ng", "espeak-ng"],
  ])("%s is %s", async (model, name) => {
    const engines = await start({ ffmpegPath: "ffmpeg", library: await fake(), ...speaking(model) })
    expect(engines.names.tts()).toBe(name)
    await engines.stop()
  })

  test("a model that is not installed stops the start", async () => {
    const library = { folders: ["/nowhere"] as const, manifest }
    await expect(start({ ffmpegPath: "ffmpeg", library, ...speaking("supertonic-3") })).rejects.toThrow(
      "TTS_MODEL is supertonic-3, which is not installed. Run: ./voice-agent models pull supertonic-3",
    )
  })
})

test("every voice of the manifest speaks without more, and by a woman and a man", () => {
  const models = manifest.filter(isFileModel).filter(({ role }) => role === "tts")
  expect(models.length).toBeGreaterThan(1)
  for (const { files, voices } of models) {
    const recordings = files.flatMap(({ path }) => /^voices\/(.*)\.wav$/.exec(path)?.[1] ?? [])
    const names = voices ?? recordings
    expect(names.length).toBeGreaterThan(1)
    expect(names[speakerOf({ voices: names }, "onyx")]).toStartWith("M")
    expect(names[speakerOf({ voices: names }, "alloy")]).toStartWith("F")
  }
})

test("a voice under a plain licence is among them", () => {
  const plain = ["MIT", "Apache-2.0", "CC-BY-4.0", "CC0-1.0"]
  const voices = manifest.filter(({ role, licence }) => role === "tts" && plain.includes(licence))
  expect(voices.length).toBeGreaterThan(0)
})

describe.skipIf(!hasEngines)("a voice of recordings", () => {
  /** A library with recordings whose loudest samples are these, of 1. */
  const cloning = async (
    recordings: Readonly<Record<string, number>>,
    included: Record<string, number> = {},
  ) => {
    const own = Object.entries(included).map(([name, peak]) => [`voices/${name}`, recordingOf(peak)] as const)
    const contents = { ...pocket(), ...Object.fromEntries(own) }
    const library = await libraryWith([
      { name: "pocket-tts-en", loader: "pocket", role: "tts", languages: ["en"], contents },
    ])
    for (const [name, peak] of Object.entries(recordings)) {
      await Bun.write(join(library.folders[0], "../voices", name), recordingOf(peak))
    }
    return library
  }

  const recordingOf = (peak: number) => {
    const pcm = Int16Array.from({ length: 24_000 }, (_, at) => (at % 24 === 0 ? peak * 32_767 : 0))
    const shape = { sampleRate: 24_000, channels: 1, bitsPerSample: 16 }
    return Buffer.concat([wavHeader({ ...shape, dataBytes: 2 * pcm.length }), new Uint8Array(pcm.buffer)])
  }

  const expectVoices = async (library: Library, voices: Readonly<Record<string, number>>) => {
    const engines = await start({ ffmpegPath: "ffmpeg", library })
    expect(engines.names.tts()).toBe("pocket-tts-en")
    for (const [voice, hz] of Object.entries(voices)) {
      expect((await speaks(engines, "Hello there.", voice)).hz).toBeWithin(hz - 40, hz + 40)
    }
    await engines.stop()
  }

  test("speaks as the recording of the name, and otherwise as the first one", async () => {
    const library = await cloning({ "low.wav": 0.3, "high.WAV": 0.8, ".hidden.wav": 0.1, "notes.txt": 0 })
    await expectVoices(library, { low: 300, LOW: 300, high: 800, alloy: 800, "2": 300 })
  })

  test("speaks as the recordings of the model where there is no other", async () => {
    const library = await cloning({}, { "F1.wav": 0.8, "M1.wav": 0.3 })
    await expectVoices(library, { F1: 800, m1: 300, alloy: 800, onyx: 300, nobody: 800 })
  })

  test("recordings of the operator replace those of the model", async () => {
    const library = await cloning({ "me.wav": 0.5 }, { "F1.wav": 0.8, "M1.wav": 0.3 })
    await expectVoices(library, { me: 500, alloy: 500, onyx: 500, F1: 500 })
  })

  test("a recording that is no WAV leaves the speech to the programs", async () => {
    const library = await cloning({})
    await Bun.write(join(library.folders[0], "../voices/bad.wav"), "no sound")
    const engines = await start({ ffmpegPath: "ffmpeg", library })
    expect(peakOf(await samples(await engines.speak("Hello there."), "pcm"))).toBeGreaterThan(1000)
    expect(engines.names.tts()).not.toBe("pocket-tts-en")
    await engines.stop()
  })
})
