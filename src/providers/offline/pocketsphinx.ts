import { availableParallelism } from "node:os"
import * as FileSystem from "@effect/platform/FileSystem"
import { Data, Effect } from "effect"
import { bytesPerSecond, toSamples } from "../../audio/pcm.ts"
import { tempFolder } from "../../temp-folder.ts"
import { asPause } from "../attempt.ts"
import { command, ProgramFailed, pipeline, type TakeSlot } from "./children.ts"
import { windowsOf } from "./engine/windows.ts"

/**
 * Silence put before and after the speech, in ms. Measured on 51 recordings of people: the share of wrong words
 * falls from 0.247 to 0.241, and from 0.44 to 0.31 on those of two words, whose first sound is otherwise lost.
 */
const paddingMs = 400

/** A peak under this (-46 dB of full scale) is a quiet room: the recognizer would hear words in its noise. */
const silentPeak = 164

/** The program is not on this machine. */
export class NotInstalled extends Data.TaggedError("NotInstalled") {}

/** What a caller learns of a request. */
export interface Watch {
  /** Called after each part of a recording. */
  readonly onProgress: () => void
  /** See `Attempt`. */
  readonly onPause?: ((isPaused: boolean) => void) | undefined
}

const peakOf = (samples: Uint8Array): number => {
  const view = new DataView(samples.buffer, samples.byteOffset, samples.byteLength)
  let highest = 0
  for (let at = 0; at + 1 < samples.byteLength; at += 2) {
    highest = Math.max(highest, Math.abs(view.getInt16(at, true)))
  }
  return highest
}

const padded = (samples: Uint8Array): Uint8Array => {
  const silence = (bytesPerSecond * paddingMs) / 1000
  const bytes = new Uint8Array(samples.byteLength + 2 * silence)
  bytes.set(samples, silence)
  return bytes
}

const question =
  /^(who|what|when|where|why|which|whose|how|is|are|am|was|were|do|does|did|can|could|will|would|should|may|have|has)\b/

/** The recognizer's lower-case words as a sentence; "" stays "". */
const asSentence = (words: string): string => {
  const text = words.trim().replace(/\bi\b/g, "I")
  if (text === "") return ""
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${question.test(words.trim()) ? "?" : "."}`
}

/** The recognizer of Debian, if it is installed. It knows English only. */
export const makePocketsphinx = Effect.fn("Pocketsphinx.make")(function* (options: {
  readonly searchPath: string
  readonly takeSlot: TakeSlot
}) {
  const files = yield* FileSystem.FileSystem
  const ownFolder = Effect.provideService(tempFolder, FileSystem.FileSystem, files)
  const recognizer = Bun.which("pocketsphinx_batch", { PATH: options.searchPath })

  /**
   * The batch program, not the continuous one: it takes its cepstral mean over the whole recording instead of
   * guessing it at the start, and gets 0.24 of the words wrong where the other gets 0.36. It is part of
   * pocketsphinx 0.8 and of 5, finds its model by itself in both, and reads files only (a socket is no file).
   */
  const recognize = Effect.fn("Pocketsphinx.recognize")(function* (program: string, samples: Uint8Array) {
    const folder = yield* ownFolder
    yield* files.writeFile(`${folder}/speech.raw`, padded(samples))
    yield* files.writeFileString(`${folder}/list`, "speech\n")
    const input = ["-adcin", "yes", "-cepdir", folder, "-cepext", ".raw", "-ctl", `${folder}/list`]
    const output = ["-hyp", `${folder}/heard`, "-logfn", "/dev/null"]
    yield* pipeline([command(program, [...input, "-remove_noise", "yes", ...output])], [])
    const line = yield* files.readFileString(`${folder}/heard`)
    // It ends each result with the name of its recording. On a full disk it writes an empty file, and succeeds.
    const [, words] = /^(.*)\(speech [^)]*\)\s*$/s.exec(line) ?? []
    if (words !== undefined) return words
    return yield* new ProgramFailed({ program: "pocketsphinx", reason: "wrote no result", wasKilled: false })
  })

  const hearPart = (program: string, samples: Uint8Array, { onProgress, onPause }: Watch) =>
    asPause(onPause)(options.takeSlot).pipe(
      Effect.zipRight(recognize(program, samples)),
      Effect.scoped,
      Effect.tap(() => onProgress()),
    )

  /**
   * The words in 16 kHz mono samples as a sentence. "" in silence. Takes 0.3 s per second of speech, so a long recording is
   * heard in parts: see `windowsOf`. Others take turns with them.
   */
  const transcribe = Effect.fn("Pocketsphinx.transcribe")(function* (
    bytes: Uint8Array,
    watch: Watch = { onProgress: () => undefined },
  ) {
    if (peakOf(bytes) < silentPeak) return ""
    if (recognizer === null) return yield* new NotInstalled()
    const samples = toSamples(bytes)
    const parts = windowsOf([{ start: 0, end: samples.length }], samples)
    const heard = yield* Effect.forEach(
      parts,
      ({ start, end }) => hearPart(recognizer, bytes.subarray(2 * start, 2 * end), watch),
      { concurrency: availableParallelism() },
    )
    return asSentence(
      heard
        .map((words) => words.trim())
        .filter((words) => words !== "")
        .join(" "),
    )
  })

  return { isInstalled: recognizer !== null, transcribe } as const
})
