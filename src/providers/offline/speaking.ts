import * as FileSystem from "@effect/platform/FileSystem"
import { Effect, Option } from "effect"
import type { SpokenFormat } from "../../audio/speech-joiner.ts"
import { encodedMp3 } from "../../audio/speech-output.ts"
import { outputArgs } from "../../ffmpeg/convert.ts"
import type { StartFfmpeg } from "../../ffmpeg/sandbox.ts"
import { tempFolder } from "../../temp-folder.ts"
import { primaryLanguage } from "../../text/language.ts"
import { asPause } from "../attempt.ts"
import { finalAnswer, wrongAnswer } from "../errors.ts"
import { offlineStatus } from "../status.ts"
import type { SpeakOptions, Synthesizer } from "../synthesizer.ts"
import { command, ffmpegCommand, fromProgram, ProgramFailed, pipeline, type TakeSlot } from "./children.ts"
import { type FliteVoice, fliteVoice, isWhole } from "./flite.ts"
import type { ModelEngine } from "./model-engine.ts"
import { makeModelVoice } from "./model-voice.ts"
import { isProgramPart, type ModelPart, type ProgramPart, spokenParts } from "./spoken-parts.ts"
import { voiceOptions } from "./voices.ts"

/** In seconds. espeak-ng reads some text (an ellipsis) as silence; it still has to give some audio. */
const shortest = 0.25

/** For a text without a word. It is padded to the shortest length. */
const silence = ["-f", "lavfi", "-i", "anullsrc=r=24000:cl=mono:d=0.1"]

const hasWord = (text: string) => /[\p{L}\p{N}]/u.test(text)

/** Nothing is probed: ffmpeg would give no sound before it has 2.4 s of it (measured), instead of 0.8 s. */
const wavFromPipe = [
  ...["-protocol_whitelist", "pipe", "-probesize", "32", "-analyzeduration", "0"],
  ...["-f", "wav", "-i", "pipe:0"],
]

type ModelVoice = Effect.Effect.Success<ReturnType<typeof makeModelVoice>>

type Use = (audio: Uint8Array) => void

interface Sound {
  readonly voice: string
  readonly format: SpokenFormat
  readonly onPause: SpeakOptions["onPause"] | undefined
}

const bytesOf = (text: string) => [new TextEncoder().encode(text)]

/** What decides how a text is spoken. */
export interface SpeakingOptions {
  /** TTS_MODEL: the name of a model, `flite`, `espeak-ng`, or anything else: the best one. */
  readonly model: string
  /** The language that the user is expected to speak. None: any. */
  readonly language: Option.Option<string>
}

/**
 * The model for its languages, flite for other English, and espeak-ng for the rest. What the model cannot speak is left to
 * the programs. A text that none of them speaks fails.
 */
export const makeSpeaking = Effect.fn("Speaking.make")(function* (options: {
  readonly startFfmpeg: StartFfmpeg
  readonly searchPath: string
  readonly takeSlot: TakeSlot
  readonly voice: Option.Option<ModelEngine>
  readonly wish: SpeakingOptions
}) {
  const model = yield* Effect.transposeMapOption(options.voice, makeModelVoice)
  const usable = () => Option.filter(model, ({ isUsable }) => isUsable())
  const files = yield* FileSystem.FileSystem
  const ownFolder = Effect.provideService(tempFolder, FileSystem.FileSystem, files)
  const espeak = Bun.which("espeak-ng", { PATH: options.searchPath })
  const isEspeakOnly = options.wish.model === "espeak-ng" && espeak !== null
  const programs = {
    flite: isEspeakOnly ? null : Bun.which("flite", { PATH: options.searchPath }),
    espeak,
  }
  const usual = Option.match(options.wish.language, {
    onNone: () => ({}),
    onSome: (code) => ({ usual: primaryLanguage(code) }),
  })
  const has = { flite: programs.flite !== null, espeak: programs.espeak !== null }

  const toFormat = (input: ReadonlyArray<string>, format: SpokenFormat, gain = 0) => {
    const made = outputArgs(format === "pcm" ? "pcm" : encodedMp3)
    const output = ["-af", `volume=${gain}dB,apad=whole_dur=${shortest}`, ...made]
    return ffmpegCommand(options.startFfmpeg, [
      ...["-threads", "1", ...input],
      ...["-threads", "1", ...output, "pipe:1"],
    ])
  }

  /** A WAV of the text. Flite writes to a file only: Bun's pipes are sockets, which it cannot open by a name. */
  const runFlite = Effect.fn("Speaking.runFlite")(function* (
    program: string,
    text: string,
    name: FliteVoice["name"],
  ) {
    const file = `${yield* ownFolder}/speech.wav`
    yield* pipeline([command(program, ["-voice", name, "-f", "-", "-o", file])], bytesOf(text))
    const wav = yield* files.readFile(file)
    if (isWhole(wav)) return wav
    return yield* new ProgramFailed({
      program: "flite",
      reason: "a part of its speech is missing; is TMPDIR full?",
      wasKilled: false,
    })
  }, Effect.scoped)

  const speakEspeak = (text: string, language: string, { voice, format }: Sound, use: Use) => {
    const voiced = ["--stdin", "--stdout", "-b", "1", ...voiceOptions(language, voice)]
    const synthesizer = command(programs.espeak ?? "espeak-ng", voiced)
    return pipeline([synthesizer, toFormat(wavFromPipe, format)], bytesOf(text), use)
  }

  /** Flite gives its speech as a whole: where it fails, none of it was heard, and espeak-ng takes the text over. */
  const speakFlite = Effect.fnUntraced(function* (text: string, sound: Sound, use: Use) {
    const { name, gain } = fliteVoice(sound.voice)
    const wav = yield* Effect.asSome(runFlite(programs.flite ?? "flite", text, name)).pipe(
      Effect.catchAll((error) => {
        if (espeak === null) return Effect.fail(error)
        const reason = error._tag === "ProgramFailed" ? error.reason : error.message
        return Effect.logWarning("speaking.flite_failed").pipe(
          Effect.annotateLogs({ reason }),
          Effect.as(Option.none<Uint8Array>()),
        )
      }),
    )
    yield* Option.match(wav, {
      onNone: () => speakEspeak(text, "en-us", sound, use),
      onSome: (bytes) => pipeline([toFormat(wavFromPipe, sound.format, gain)], [bytes], use),
    })
  })

  const speakPrograms = Effect.fnUntraced(function* (
    parts: ReadonlyArray<ProgramPart>,
    sound: Sound,
    use: Use,
  ) {
    for (const part of parts) {
      yield* part.engine === "flite"
        ? speakFlite(part.text, sound, use)
        : speakEspeak(part.text, part.language, sound, use)
    }
  })

  /** The parts of a text for the programs. Fails if none of them speaks it. */
  const programParts = (text: string) => {
    const parts = spokenParts(text, { ...has, ...usual }).filter(isProgramPart)
    return parts.length === 0 && hasWord(text)
      ? finalAnswer("tts", "no-voice", "no voice is installed that can speak the text")
      : Effect.succeed(parts)
  }

  /** Without sound, what the programs cannot speak fails before it. */
  const speakByPrograms = (text: string, sound: Sound, use: Use) =>
    Effect.flatMap(programParts(text), (parts) =>
      parts.length === 0
        ? pipeline([toFormat(silence, sound.format)], [], use)
        : speakPrograms(parts, sound, use),
    )

  /** The number of texts that the model spoke, all or those before one that it cannot speak. */
  const speakTexts = (
    { speak }: ModelVoice,
    { texts, language }: ModelPart,
    { voice, format, onPause }: Sound,
    use: Use,
  ) => {
    const { wav, made } = speak(texts, { language, voice })
    let received = 0
    const counted = (audio: Uint8Array) => {
      received += audio.length
      use(audio)
    }
    return Effect.all(
      // The engine has a limit of its own for each of its steps. A text waits for those of others too.
      [asPause(onPause)(made), pipeline([toFormat(wavFromPipe, format)], wav, counted)],
      { concurrency: "unbounded" },
    ).pipe(
      Effect.map(([spoken]) => spoken),
      Effect.catchTag("RunFailed", (error) => (received === 0 ? Effect.succeed(0) : error)),
    )
  }

  const speakModel = Effect.fnUntraced(function* (
    model: ModelVoice,
    part: ModelPart,
    sound: Sound,
    use: Use,
  ) {
    let texts = part.texts
    while (texts.length > 0) {
      const spoken = yield* speakTexts(model, { ...part, texts }, sound, use)
      const failed = texts[spoken]
      if (failed !== undefined) yield* speakByPrograms(failed, sound, use)
      texts = texts.slice(spoken + 1)
    }
  })

  const speakByAll = Effect.fnUntraced(function* (model: ModelVoice, text: string, sound: Sound, use: Use) {
    const parts = spokenParts(text, { ...has, languages: model.languages, ...usual })
    if (parts.length === 0) return yield* speakByPrograms(text, sound, use)
    for (const part of parts) {
      yield* part.engine === "model" ? speakModel(model, part, sound, use) : speakPrograms([part], sound, use)
    }
  })

  const speak: Synthesizer["Type"]["speak"] = Effect.fn("Speaking.speak")(
    function* (text, { voice, output: { format }, onPause }, open) {
      yield* asPause(onPause)(options.takeSlot)
      const take = open()
      let received = 0
      const use = (audio: Uint8Array) => {
        received += audio.length
        take(audio)
      }
      const sound = { voice, format, onPause }
      yield* Option.match(usable(), {
        onNone: () => speakByPrograms(text, sound, use),
        onSome: (model) =>
          // A model that fails for good leaves the text to the programs, if none of it was heard.
          Effect.catchIf(
            speakByAll(model, text, sound, use),
            (error) => error._tag === "EngineFailed" && received === 0 && Option.isNone(usable()),
            () => speakByPrograms(text, sound, use),
          ),
      })
      if (received === 0) return yield* wrongAnswer("tts", "no audio in it")
    },
    Effect.scoped,
    Effect.catchTags({
      EngineFailed: ({ reason }) => wrongAnswer("tts", `engine: ${reason}`),
      RunFailed: ({ reason }) => wrongAnswer("tts", `engine: ${reason}`, { isRetryable: false }),
      ProgramFailed: (error) => fromProgram("tts", error),
      TempFolderUnusable: ({ message }) => wrongAnswer("tts", message),
      SystemError: ({ method, reason }) => wrongAnswer("tts", `${method}: ${reason}`),
      BadArgument: ({ method }) => wrongAnswer("tts", method),
    }),
  )

  const program = has.flite ? "flite" : has.espeak ? "espeak-ng" : "none"
  const engineName = () => Option.match(usable(), { onNone: () => program, onSome: ({ name }) => name })
  return {
    /** The name of what speaks the next request. */
    engine: engineName,
    /** A failed model speaks again once its engine runs. Without one, a program is the first choice. */
    status: () => offlineStatus(engineName(), Option.isSome(model) && Option.isNone(usable())),
    speak,
  }
})
