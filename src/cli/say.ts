import { extname } from "node:path"
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import { Console, Effect } from "effect"
import { CommandFailed, ExitWith } from "./exit-code.ts"
import { json, print, writeOutput } from "./print.ts"

const text = Args.text({ name: "TEXT" }).pipe(Args.withDescription("The text to speak"))
const output = Options.file("output").pipe(
  Options.withPseudoName("FILE"),
  Options.withAlias("o"),
  Options.withDescription("The file to write: .mp3, .wav, or .pcm (24 kHz mono 16-bit)"),
)

/** The format of each file extension. A WAV is PCM behind a header. */
const formats: Readonly<Record<string, "mp3" | "pcm">> = { ".mp3": "mp3", ".wav": "pcm", ".pcm": "pcm" }

export const say = Command.make("say", { text, output, json }, ({ text, output, json }) =>
  Effect.gen(function* () {
    const ending = extname(output).toLowerCase()
    const format = Object.hasOwn(formats, ending) ? formats[ending] : undefined
    if (format === undefined) {
      yield* Console.error("--output must end in .mp3, .wav or .pcm.")
      return yield* new ExitWith({ code: 2 })
    }
    const [{ explain, layer, speakText }, { wavHeader }] = yield* Effect.promise(() =>
      Promise.all([import("./stages.ts"), import("../audio/wav.ts")]),
    )
    const spoken = yield* speakText(text, format).pipe(Effect.mapError(explain), Effect.provide(layer))
    if (spoken.length === 0)
      return yield* new CommandFailed({ message: "The text contains no words to speak." })
    const shape = { sampleRate: 24_000, channels: 1, bitsPerSample: 16, dataBytes: spoken.length }
    const bytes = ending === ".wav" ? Buffer.concat([wavHeader(shape), spoken]) : spoken
    yield* writeOutput(output, bytes)
    yield* print(json, [`${output}: ${bytes.length} bytes`], { output, bytes: bytes.length })
  }),
).pipe(Command.withDescription("Speak a text into a file, by the configured speech synthesis alone"))
