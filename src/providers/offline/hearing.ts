import * as FileSystem from "@effect/platform/FileSystem"
import { Effect } from "effect"
import type { StartFfmpeg } from "../../ffmpeg/sandbox.ts"
import { command, ffmpegCommand, run, type TakeSlot } from "./children.ts"
import { refuse } from "./wire.ts"

/** What the recogniser and our own WAVs use: 16 kHz mono, 16-bit little-endian. */
const samplesPerSecond = 16_000
const bytesPerSample = 2

/**
 * Silence put before and after the speech, in ms. Measured on 51 recordings of people: the share of wrong words
 * falls from 0.247 to 0.241, and from 0.44 to 0.31 on those of two words, whose first sound is otherwise lost.
 */
const paddingMs = 400

/** A peak under this (-46 dB of full scale) is a quiet room: the recogniser would hear words in its noise. */
const silentPeak = 164

/**
 * The containers that ffmpeg may open here; playlists and scripts are not among them. The service itself sends WAVs that
 * need no ffmpeg: it is for others of this machine that find the port.
 */
const containers = "wav,mp3,ogg,flac,matroska,webm,mov,mp4,m4a,aac,w64,aiff"

/** The longest speech that is listened to, in seconds: a compressed file of 25 MB could hold hours. */
const longestSeconds = 600

const cannotHear = "I sent some speech, but this server has no speech recognition installed."

/** The samples of a WAV that is already right, without a copy; undefined where ffmpeg has to convert it. */
const samplesOfWav = (audio: Uint8Array): Uint8Array | undefined => {
  const view = new DataView(audio.buffer, audio.byteOffset, audio.byteLength)
  const tag = (at: number) => (at + 4 <= audio.byteLength ? view.getUint32(at) : 0)
  if (tag(0) !== 0x52494646 || tag(8) !== 0x57415645) return undefined
  let right = false
  for (let at = 12; at + 8 <= audio.byteLength; ) {
    const size = view.getUint32(at + 4, true)
    const body = at + 8
    if (tag(at) === 0x666d7420 && body + 16 <= audio.byteLength) {
      right =
        view.getUint16(body, true) === 1 &&
        view.getUint16(body + 2, true) === 1 &&
        view.getUint32(body + 4, true) === samplesPerSecond &&
        view.getUint16(body + 14, true) === 8 * bytesPerSample
    }
    if (tag(at) === 0x64617461) {
      // A WAV written to a pipe has 0xffffffff here: subarray ends where the file does.
      const bytes = audio.subarray(body, body + size)
      return right ? bytes.subarray(0, bytes.byteLength - (bytes.byteLength % bytesPerSample)) : undefined
    }
    at = body + size + (size % 2)
  }
  return undefined
}

const peak = (samples: Uint8Array): number => {
  const view = new DataView(samples.buffer, samples.byteOffset, samples.byteLength)
  let highest = 0
  for (let at = 0; at + 1 < samples.byteLength; at += bytesPerSample) {
    highest = Math.max(highest, Math.abs(view.getInt16(at, true)))
  }
  return highest
}

const padded = (samples: Uint8Array): Uint8Array => {
  const silence = (samplesPerSecond * bytesPerSample * paddingMs) / 1000
  const bytes = new Uint8Array(samples.byteLength + 2 * silence)
  bytes.set(samples, silence)
  return bytes
}

const question =
  /^(who|what|when|where|why|which|whose|how|is|are|am|was|were|do|does|did|can|could|will|would|should|may|have|has)\b/

/** The recogniser's lower-case words as a sentence; "" stays "". */
const asSentence = (words: string): string => {
  const text = words.trim().replace(/\bi\b/g, "I")
  if (text === "") return ""
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${question.test(words.trim()) ? "?" : "."}`
}

export const makeHearing = Effect.fn("Hearing.make")(function* (options: {
  readonly startFfmpeg: StartFfmpeg
  readonly searchPath: string
  readonly takeSlot: TakeSlot
}) {
  const files = yield* FileSystem.FileSystem
  const recogniser = Bun.which("pocketsphinx_batch", { PATH: options.searchPath })

  const decode = Effect.fn("Hearing.decode")(function* (audio: Uint8Array) {
    const ready = samplesOfWav(audio)
    if (ready !== undefined) return ready
    const decoder = ffmpegCommand(options.startFfmpeg, [
      ...["-max_pixels", "1000000", "-threads", "1"],
      ...["-format_whitelist", containers, "-protocol_whitelist", "pipe", "-i", "pipe:0"],
      ...["-vn", "-threads", "1", "-t", `${longestSeconds}`],
      ...["-ac", "1", "-ar", `${samplesPerSecond}`, "-f", "s16le", "pipe:1"],
    ])
    return yield* run(decoder, [audio]).pipe(
      Effect.catchTag("ProgramFailed", () =>
        refuse(
          "The audio file could not be decoded or its format is not supported.",
          "file",
          "invalid_value",
        ),
      ),
    )
  })

  /**
   * The batch program, not the continuous one: it takes its cepstral mean over the whole recording instead of
   * guessing it at the start, and gets 0.24 of the words wrong where the other gets 0.36. It is part of
   * pocketsphinx 0.8 and of 5, finds its model by itself in both, and reads files only (a socket is no file).
   */
  const recognise = Effect.fn("Hearing.recognise")(function* (program: string, samples: Uint8Array) {
    const folder = yield* files.makeTempDirectoryScoped({ prefix: "voice-agent-hearing-" })
    yield* files.writeFile(`${folder}/speech.raw`, padded(samples))
    yield* files.writeFileString(`${folder}/list`, "speech\n")
    const input = ["-adcin", "yes", "-cepdir", folder, "-cepext", ".raw", "-ctl", `${folder}/list`]
    const output = ["-hyp", `${folder}/heard`, "-logfn", "/dev/null"]
    yield* run(command(program, [...input, "-remove_noise", "yes", ...output]), [])
    const line = yield* files.readFileString(`${folder}/heard`)
    return line.replace(/\(speech [^)]*\)\s*$/, "")
  }, Effect.scoped)

  /** The words in a recording; "" where there are none. Fails where the bytes are no audio. */
  const transcribe = Effect.fn("Hearing.transcribe")(function* (audio: Uint8Array) {
    yield* options.takeSlot
    const samples = (yield* decode(audio)).subarray(0, longestSeconds * samplesPerSecond * bytesPerSample)
    const seconds = samples.byteLength / (samplesPerSecond * bytesPerSample)
    if (peak(samples) < silentPeak) return { text: "", seconds }
    if (recogniser === null) return { text: cannotHear, seconds }
    return { text: asSentence(yield* Effect.orDie(recognise(recogniser, samples))), seconds }
  }, Effect.scoped)

  return { engine: recogniser === null ? "none" : "pocketsphinx", transcribe } as const
})
