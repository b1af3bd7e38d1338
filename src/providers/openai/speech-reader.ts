import { Either, Option } from "effect"
import { type ClaimedShape, claimedShape, isPlausible } from "../../audio/claimed-shape.ts"
import type { MediaType } from "../../audio/media-type.ts"
import { makeMp3Joiner } from "../../audio/mp3.ts"
import { frameAt, type Mp3Frame, sameFormat } from "../../audio/mp3-frame.ts"
import { indexIsFirst, withIndexFirst } from "../../audio/mp4.ts"
import { kindOfText } from "../../audio/not-audio.ts"
import { isOpenAiPcm, type RawSamples, wavSamples } from "../../audio/raw-samples.ts"
import {
  identifySpeech,
  nameOf,
  type RequestedFormat,
  type SpeechInput,
  tagsBytes,
} from "../../audio/speech-input.ts"
import { encodedMp3, longestSpeechBytes, type SpeechOutput } from "../../audio/speech-output.ts"
import { makeTextTail } from "../../audio/text-tail.ts"
import { parseWav } from "../../audio/wav.ts"
import { makeWavStream } from "../../audio/wav-stream.ts"
import type { Conversion, StartConversion } from "../../ffmpeg/convert.ts"
import { type ProviderError, wrongAnswer } from "../errors.ts"
import { parseJson } from "../json.ts"
import { reportedError } from "./errors.ts"

/** Reads the body of one answer. The caller must kill it. */
export interface SpeechReader {
  /** Takes the next bytes of the body. A plain function, since it runs once per chunk. */
  readonly write: (chunk: Uint8Array) => void
  /** Call once, after the last `write`. Resolves after the last audio, with the error if the answer has none. */
  readonly end: () => Promise<ProviderError | undefined>
  /** Ends the conversion, if there is one. Resolves once its process has exited. */
  readonly kill: () => Promise<void>
}

interface Answer {
  readonly type: MediaType
  /** What the request asked for. Undefined: the server's own choice. */
  readonly requested: RequestedFormat | undefined
  /** UTF-16 units of the text that it speaks. They bound the audio. */
  readonly characters: number
}

type Receive = (chunk: Uint8Array) => void

/** The most that is kept of an answer that is not audio, in bytes. Error objects are shorter. */
const maxErrorBytes = 64 * 1024
/** The most that may precede the samples of a WAV that is read without ffmpeg, in bytes. */
const maxWavHeaderBytes = 64 * 1024

/** `reason`: for the log, if the bytes do not say what kind of error it is. */
const notAudio = (reason: string, bytes: Uint8Array) =>
  Option.match(parseJson(new TextDecoder().decode(bytes)), {
    onNone: () => wrongAnswer("tts", reason),
    onSome: (json) => reportedError("tts", json, reason),
  })

/** A head up to this size is looked at with every chunk, so that the first audio is early. In bytes. */
const shortHeadBytes = 64 * 1024

const named = ({ sampleRate, channels }: ClaimedShape) =>
  `of ${sampleRate} Hz and ${channels} ${channels === 1 ? "channel" : "channels"}`

/**
 * Reads speech in whatever format it arrives, and passes it to `take` in the format of the reply. Audio that has this
 * format passes as it is, and so do the samples of a WAV. All else is converted while it arrives.
 */
export const makeSpeechReader = (
  { type, requested, characters }: Answer,
  output: SpeechOutput,
  startConversion: StartConversion,
  take: Receive,
): SpeechReader => {
  /** The bytes so far, until it is known what they are. */
  let head: Uint8Array = new Uint8Array(0)
  /** The chunks after `head`, and their bytes. */
  let waiting: Array<Uint8Array> = []
  let waitingBytes = 0
  let receive: Receive | undefined
  /** What the answer is, for the log. */
  let kind = ""
  let isAudio = true
  let passed = 0
  let conversion: Conversion | undefined
  const mp3 = makeMp3Joiner()
  let searched = 0

  const most = longestSpeechBytes(output.format, characters)
  let isTooLong = false

  /** What remains to do after the last bytes, in order. */
  const finishing: Array<() => void> = []
  /** Text behind the samples. */
  let errorText: Uint8Array = new Uint8Array(0)
  let changesFormat = false

  const pass: Receive = (bytes) => {
    if (isTooLong) return
    isTooLong = passed + bytes.length > most
    if (!isTooLong) {
      passed += bytes.length
      return take(bytes)
    }
    receive = () => undefined
    void conversion?.kill()
  }

  const convert = (input: SpeechInput): Receive => {
    conversion = startConversion(input, output.format === "pcm" ? "pcm" : output.mp3(encodedMp3), pass)
    return conversion.write
  }

  const receiveWav = (isWhole: boolean): Receive | undefined => {
    const wav = parseWav(head, Number.MAX_SAFE_INTEGER)
    const isCut = Either.isLeft(wav) && wav.left === "truncated"
    if (isCut && !isWhole && head.length < maxWavHeaderBytes) return undefined
    const samples = Either.isRight(wav) ? wavSamples(wav.right) : undefined
    if (Either.isLeft(wav) || samples === undefined) return convert({ demuxer: "wav" })
    // Without its header: ffmpeg's demuxer reads 64 KB of some WAVs before its first output.
    const use = receiveSamples(samples)
    const stream = makeWavStream(wav.right)
    finishing.unshift(() => {
      use(stream.end())
      changesFormat = stream.changesFormat()
    })
    return (chunk) => use(stream.push(chunk))
  }

  const receiveSamples = (samples: RawSamples): Receive => {
    const use = output.format === "pcm" && isOpenAiPcm(samples) ? pass : convert(samples)
    const tail = makeTextTail()
    finishing.push(() => {
      const rest = tail.end()
      if (rest.samples.length > 0) use(rest.samples)
      errorText = rest.text
    })
    return (chunk) => {
      const bytes = tail.push(chunk)
      if (bytes.length > 0) use(bytes)
    }
  }

  /** The first frame; undefined if it is not in the bytes so far. */
  const firstFrame = (isWhole: boolean): Mp3Frame | undefined => {
    const { bytes } = mp3.push(head.subarray(searched))
    searched = head.length
    return frameAt(bytes, 0) ?? (isWhole ? frameAt(mp3.endSegment().bytes, 0) : undefined)
  }

  const receiveMp3 = (isWhole: boolean): Receive | undefined => {
    const frame = firstFrame(isWhole)
    if (frame === undefined && !isWhole) return undefined
    const isReplys = frame !== undefined && output.format === "mp3" && sameFormat(output.mp3(frame), frame)
    return isReplys ? pass : convert({ demuxer: "mp3" })
  }

  /** ffmpeg cannot seek in a pipe, so an MP4 whose index is last has to be whole. */
  const receiveMp4 = (isWhole: boolean): Receive | undefined => {
    if (indexIsFirst(head)) return convert({ demuxer: "mov" })
    if (!isWhole) return undefined
    const write = convert({ demuxer: "mov" })
    return (whole) => write(withIndexFirst(whole))
  }

  const keepError: Receive = (chunk) => {
    if (head.length < maxErrorBytes) head = Buffer.concat([head, chunk])
  }

  const refuse = (what: string): Receive => {
    kind = what
    isAudio = false
    return keepError
  }

  const receiverFor = (isWhole: boolean): Receive | undefined => {
    const found = identifySpeech(head, isWhole, type, requested)
    if (found === undefined) return undefined
    if ("kind" in found) return refuse(found.kind)
    kind = nameOf(found)
    // ffmpeg skips one tag, and only before some formats.
    if (found.demuxer !== "mp3") head = head.subarray(tagsBytes(head) ?? 0)
    const shape = claimedShape(found, head)
    if (shape === undefined && !isWhole && head.length < maxWavHeaderBytes) return undefined
    if (shape !== undefined && shape !== "none" && !isPlausible(shape))
      return refuse(`${kind} ${named(shape)}`)
    if (found.demuxer === "wav") return receiveWav(isWhole)
    if (found.demuxer === "mp3") return receiveMp3(isWhole)
    if (found.demuxer === "mov") return receiveMp4(isWhole)
    return "sampleRate" in found ? receiveSamples(found) : convert(found)
  }

  const identify = (isWhole: boolean) => {
    if (waiting.length > 0) head = Buffer.concat([head, ...waiting])
    waiting = []
    waitingBytes = 0
    const found = receiverFor(isWhole)
    if (found === undefined) return
    receive = found
    const first = head
    head = new Uint8Array(0)
    found(first)
  }

  const tooLong = () => `${kind} that is longer than any speech of its text`

  return {
    write: (chunk) => {
      if (receive !== undefined) return receive(chunk)
      waiting.push(chunk)
      waitingBytes += chunk.length
      // A long head (a picture in a tag, an MP4 with its index last) is joined and looked at each time that it has doubled.
      if (head.length < shortHeadBytes || waitingBytes >= head.length) identify(false)
    },
    end: async () => {
      if (receive === undefined) identify(true)
      if (isTooLong) return wrongAnswer("tts", tooLong())
      if (!isAudio) return notAudio(`${kind} in place of audio`, head)
      for (const finish of finishing) finish()
      const ended = await conversion?.end()
      if (isTooLong) return wrongAnswer("tts", tooLong())
      if (ended !== undefined && Either.isLeft(ended)) {
        return wrongAnswer("tts", `${kind} that cannot be decoded`)
      }
      if (errorText.length > 0) return notAudio(`${kindOfText(errorText)} after the audio`, errorText)
      if (changesFormat) return wrongAnswer("tts", `${kind} that changes its format`)
      return passed > 0 ? undefined : wrongAnswer("tts", `no audio in it${kind === "" ? "" : ` (${kind})`}`)
    },
    kill: async () => conversion?.kill(),
  }
}
