import { Effect } from "effect"
import type { SpokenFormat } from "../../audio/speech-joiner.ts"
import { encodedMp3 } from "../../audio/speech-output.ts"
import { outputArgs } from "../../ffmpeg/convert.ts"
import type { StartFfmpeg } from "../../ffmpeg/sandbox.ts"
import { wrongAnswer } from "../errors.ts"
import type { Synthesizer } from "../synthesizer.ts"
import { command, ffmpegCommand, pipeline, type TakeSlot } from "./children.ts"
import { voiceOptions } from "./voices.ts"

/** In seconds. espeak-ng reads some text (an ellipsis) as silence; it still has to give some audio. */
const shortest = 0.25

/** Without espeak-ng: a soft pulsing tone, a third of a second for each word. */
const tone = (text: string) => {
  const seconds = Math.min(60, Math.max(0.5, text.split(/\s+/).length / 3))
  const source = `sine=frequency=330:sample_rate=24000:duration=${seconds}`
  return ["-f", "lavfi", "-i", `${source},tremolo=f=3:d=0.9,volume=2`]
}

export const makeSpeaking = (options: {
  readonly startFfmpeg: StartFfmpeg
  readonly searchPath: string
  readonly takeSlot: TakeSlot
}) => {
  const espeak = Bun.which("espeak-ng", { PATH: options.searchPath })

  const toFormat = (input: ReadonlyArray<string>, format: SpokenFormat) => {
    const made = outputArgs(format === "pcm" ? "pcm" : encodedMp3)
    const output = ["-af", `apad=whole_dur=${shortest}`, ...made]
    return ffmpegCommand(options.startFfmpeg, [
      ...["-threads", "1", ...input],
      ...["-threads", "1", ...output, "pipe:1"],
    ])
  }

  const speak: Synthesizer["Type"]["speak"] = Effect.fn("Speaking.speak")(
    function* (text, { voice, output: { format } }, open) {
      yield* options.takeSlot
      const take = open()
      let received = 0
      const use = (audio: Uint8Array) => {
        received += audio.length
        take(audio)
      }
      if (espeak === null) yield* pipeline([toFormat(tone(text), format)], [], use)
      else {
        const synthesizer = command(espeak, [
          ...["--stdin", "--stdout", "-b", "1"],
          ...voiceOptions(text, voice),
        ])
        const encoder = toFormat(["-protocol_whitelist", "pipe", "-f", "wav", "-i", "pipe:0"], format)
        yield* pipeline([synthesizer, encoder], [new TextEncoder().encode(text)], use)
      }
      if (received === 0) return yield* wrongAnswer("tts", "no audio in it")
    },
    Effect.scoped,
    Effect.catchTag("ProgramFailed", ({ program, reason }) => wrongAnswer("tts", `${program}: ${reason}`)),
  )

  return { engine: espeak === null ? "none" : "espeak-ng", speak } as const
}
