import * as FileSystem from "@effect/platform/FileSystem"
import { Effect } from "effect"
import type { SpokenFormat } from "../../audio/speech-joiner.ts"
import { encodedMp3 } from "../../audio/speech-output.ts"
import { outputArgs } from "../../ffmpeg/convert.ts"
import type { StartFfmpeg } from "../../ffmpeg/sandbox.ts"
import { wrongAnswer } from "../errors.ts"
import type { Synthesizer } from "../synthesizer.ts"
import { command, ffmpegCommand, pipeline, type TakeSlot } from "./children.ts"
import { type FliteVoice, fliteVoice } from "./flite.ts"
import { type SpokenPart, spokenParts } from "./spoken-parts.ts"
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

const bytesOf = (text: string) => [new TextEncoder().encode(text)]

/** Flite for English, espeak-ng for other languages and where flite is missing, a tone without either. */
export const makeSpeaking = Effect.fn("Speaking.make")(function* (options: {
  readonly startFfmpeg: StartFfmpeg
  readonly searchPath: string
  readonly takeSlot: TakeSlot
}) {
  const files = yield* FileSystem.FileSystem
  const programs = {
    flite: Bun.which("flite", { PATH: options.searchPath }),
    espeak: Bun.which("espeak-ng", { PATH: options.searchPath }),
  }
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
    return yield* files.readFile(file)
  }, Effect.scoped)

  const speakPart = Effect.fnUntraced(function* (
    part: SpokenPart,
    { voice, format }: { readonly voice: string; readonly format: SpokenFormat },
    use: (audio: Uint8Array) => void,
  ) {
    if (part.engine === "flite") {
      const { name, gain } = fliteVoice(voice)
      const wav = yield* runFlite(programs.flite ?? "flite", part.text, name)
      return yield* pipeline([toFormat(wavFromPipe, format, gain)], [wav], use)
    }
    const synthesizer = command(programs.espeak ?? "espeak-ng", [
      ...["--stdin", "--stdout", "-b", "1"],
      ...voiceOptions(part.language, voice),
    ])
    yield* pipeline([synthesizer, toFormat(wavFromPipe, format)], bytesOf(part.text), use)
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
      const parts = spokenParts(text, has)
      for (const part of parts) yield* speakPart(part, { voice, format }, use)
      if (parts.length === 0) yield* pipeline([toFormat(tone(text), format)], [], use)
      if (received === 0) return yield* wrongAnswer("tts", "no audio in it")
    },
    Effect.scoped,
    Effect.catchTags({
      ProgramFailed: ({ program, reason }) => wrongAnswer("tts", `${program}: ${reason}`),
      SystemError: ({ method, reason }) => wrongAnswer("tts", `${method}: ${reason}`),
      BadArgument: ({ method }) => wrongAnswer("tts", method),
    }),
  )

  const engine = has.flite ? "flite" : has.espeak ? "espeak-ng" : "none"
  return { engine, speak } as const
})
