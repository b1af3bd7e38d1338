import * as FileSystem from "@effect/platform/FileSystem"
import { Duration, Effect, Option } from "effect"
import type { SpokenFormat } from "../../audio/speech-joiner.ts"
import { encodedMp3 } from "../../audio/speech-output.ts"
import { outputArgs } from "../../ffmpeg/convert.ts"
import type { StartFfmpeg } from "../../ffmpeg/sandbox.ts"
import { primaryLanguage } from "../../text/language.ts"
import { wrongAnswer } from "../errors.ts"
import type { Synthesizer } from "../synthesizer.ts"
import { command, ffmpegCommand, ProgramFailed, pipeline, type TakeSlot } from "./children.ts"
import { type FliteVoice, fliteVoice, isWhole } from "./flite.ts"
import type { ModelEngine } from "./model-engine.ts"
import { makeModelVoice } from "./model-voice.ts"
import { type ModelPart, spokenParts } from "./spoken-parts.ts"
import { voiceOptions } from "./voices.ts"

/** In seconds. espeak-ng reads some text (an ellipsis) as silence; it still has to give some audio. */
const shortest = 0.25

/** Without a program that speaks: a soft pulsing tone, a third of a second for each word. */
const tone = (text: string) => {
  const seconds = Math.min(60, Math.max(0.5, text.split(/\s+/).length / 3))
  const source = `sine=frequency=330:sample_rate=24000:duration=${seconds}`
  return ["-f", "lavfi", "-i", `${source},tremolo=f=3:d=0.9,volume=2`]
}

const wavFromPipe = ["-protocol_whitelist", "pipe", "-f", "wav", "-i", "pipe:0"]

type ModelVoice = Effect.Effect.Success<ReturnType<typeof makeModelVoice>>

type Use = (audio: Uint8Array) => void

interface Sound {
  readonly voice: string
  readonly format: SpokenFormat
}

const bytesOf = (text: string) => [new TextEncoder().encode(text)]

/** What decides how a text is spoken. */
export interface SpeakingOptions {
  /** TTS_MODEL: the name of a model, `flite`, `espeak-ng`, or anything else: the best one. */
  readonly model: string
  /** The language that the user is expected to speak. None: any. */
  readonly language: Option.Option<string>
}

/** A model on a slow machine takes some seconds for its longest part, and one after a restart has to load first. */
const modelTimeout = Duration.seconds(30)

/** The model for its languages, flite for other English, espeak-ng for the rest, and a tone without any of them. */
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
    const folder = yield* files.makeTempDirectoryScoped({ prefix: "voice-agent-speaking-" })
    const file = `${folder}/speech.wav`
    yield* pipeline([command(program, ["-voice", name, "-f", "-", "-o", file])], bytesOf(text))
    const wav = yield* files.readFile(file)
    if (isWhole(wav)) return wav
    return yield* new ProgramFailed({
      program: "flite",
      reason: "a part of its speech is missing; is TMPDIR full?",
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

  const speakModel = (
    { speak }: ModelVoice,
    { texts, language }: ModelPart,
    { voice, format }: Sound,
    use: Use,
  ) => {
    const { wav, made } = speak(texts, { language, voice })
    return Effect.all([made, pipeline([toFormat(wavFromPipe, format)], wav, use)], {
      concurrency: "unbounded",
      discard: true,
    })
  }

  const speakParts = Effect.fnUntraced(function* (
    text: string,
    model: Option.Option<ModelVoice>,
    sound: Sound,
    use: Use,
  ) {
    const languages = Option.match(model, { onNone: () => [], onSome: ({ languages }) => languages })
    const parts = spokenParts(text, { ...has, languages, ...usual })
    for (const part of parts) {
      if (part.engine === "flite") yield* speakFlite(part.text, sound, use)
      if (part.engine === "espeak-ng") yield* speakEspeak(part.text, part.language, sound, use)
      if (part.engine === "model" && Option.isSome(model)) {
        yield* speakModel(model.value, part, sound, use)
      }
    }
    if (parts.length === 0) yield* pipeline([toFormat(tone(text), sound.format)], [], use)
  })

  const speak: Synthesizer["Type"]["speak"] = Effect.fn("Speaking.speak")(
    function* (text, { voice, output: { format } }, open) {
      yield* options.takeSlot
      const take = open()
      let received = 0
      const use = (audio: Uint8Array) => {
        received += audio.length
        take(audio)
      }
      const sound = { voice, format }
      yield* speakParts(text, usable(), sound, use).pipe(
        // A model that fails for good leaves the text to the programs, if none of it was heard.
        Effect.catchIf(
          (error) => error._tag === "EngineFailed" && received === 0 && Option.isNone(usable()),
          () => speakParts(text, Option.none(), sound, use),
        ),
      )
      if (received === 0) return yield* wrongAnswer("tts", "no audio in it")
    },
    Effect.scoped,
    Effect.catchTags({
      EngineFailed: ({ reason }) => wrongAnswer("tts", `engine: ${reason}`),
      ProgramFailed: ({ program, reason }) => wrongAnswer("tts", `${program}: ${reason}`),
      SystemError: ({ method, reason }) => wrongAnswer("tts", `${method}: ${reason}`),
      BadArgument: ({ method }) => wrongAnswer("tts", method),
    }),
  )

  const program = has.flite ? "flite" : has.espeak ? "espeak-ng" : "none"
  return {
    /** The name of what speaks the next request. */
    engine: () => Option.match(usable(), { onNone: () => program, onSome: ({ name }) => name }),
    /** To the first audio. None: that of the settings. */
    timeout: Option.isSome(model) ? modelTimeout : undefined,
    speak,
  }
})
