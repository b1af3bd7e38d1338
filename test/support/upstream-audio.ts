/**
 * Speech for the scripted upstream: pure tones, so that a test can tell which call a stretch of sound came from.
 *
 * An MP3 of any length is cut from one short recording per tone. Every tone has a whole number of periods in the 576
 * samples of a frame, and the bit reservoir is off: so a frame in the middle can stand any number of times, and
 * ffmpeg runs once per process, however much is spoken.
 */
import { join } from "node:path"
import { ffmpeg, withTempDir } from "./ffmpeg.ts"

export const SAMPLE_RATE = 24_000
/** Samples of one MPEG-2 layer III frame: 24 ms. */
export const BLOCK = 576
/** How fast the fake speaks. */
export const CHARACTERS_PER_SECOND = 15
/** The n-th call speaks with the n-th of these, in Hz, and then from the start again. */
export const TONES: readonly number[] = Array.from({ length: 12 }, (_, index) => 250 + 125 * index)

export type SpeechFormat = "mp3" | "wav" | "pcm"

/** What one TTS call was answered with. `samples` at 24 kHz, before any encoding. */
export interface Spoken {
  readonly hz: number
  readonly samples: number
}

const AMPLITUDE = 0.5
const FADE = 240
const HEAD_FRAMES = 8
const MASTER_BLOCKS = 24
/** Below this the start and the end of the recording would overlap. */
const MIN_BLOCKS = 14

/** A piece of speech for so many seconds, or for a text; its length is a whole number of blocks. */
export const speechOf = (
  what: { readonly text: string } | { readonly seconds: number },
  index: number,
): Spoken => {
  const seconds = "seconds" in what ? what.seconds : [...what.text].length / CHARACTERS_PER_SECOND
  const blocks = Math.max(MIN_BLOCKS, Math.round((seconds * SAMPLE_RATE) / BLOCK))
  return { hz: TONES[index % TONES.length] ?? 250, samples: blocks * BLOCK }
}

export const encodeSpeech = async (spoken: Spoken, format: SpeechFormat): Promise<Uint8Array> => {
  if (format === "mp3") return mp3Of(spoken)
  const pcm = pcmOf(spoken)
  return format === "pcm" ? pcm : Buffer.concat([STREAMED_WAV_HEADER, pcm])
}

/** Bytes of one second in this format: MP3 is 160 kbit/s, as OpenAI sends it. */
export const bytesPerSecond = (format: SpeechFormat) => (format === "mp3" ? 20_000 : SAMPLE_RATE * 2)

const sampleAt = (hz: number, index: number, samples: number) => {
  const fade = Math.min(1, index / FADE, (samples - index) / FADE)
  return Math.round(32_767 * AMPLITUDE * fade * Math.sin((2 * Math.PI * hz * index) / SAMPLE_RATE))
}

const pcmOf = ({ hz, samples }: Spoken): Uint8Array => {
  const edge = Math.min(BLOCK, samples / 2)
  const block = Int16Array.from({ length: BLOCK }, (_, index) => sampleAt(hz, BLOCK + index, 3 * BLOCK))
  const out = new Int16Array(samples)
  for (let at = 0; at + BLOCK <= samples; at += BLOCK) out.set(block, at)
  for (let index = 0; index < edge; index++) {
    out[index] = sampleAt(hz, index, samples)
    out[samples - 1 - index] = sampleAt(hz, samples - 1 - index, samples)
  }
  return new Uint8Array(out.buffer)
}

/** A WAV made while it is sent cannot know its sizes: OpenAI, like ffmpeg on a pipe, writes 0xffffffff for both. */
const STREAMED_WAV_HEADER = (() => {
  const header = Buffer.alloc(44)
  header.write("RIFF\xff\xff\xff\xffWAVEfmt ", 0, "latin1")
  header.writeUInt32LE(16, 16)
  header.writeUInt16LE(1, 20)
  header.writeUInt16LE(1, 22)
  header.writeUInt32LE(SAMPLE_RATE, 24)
  header.writeUInt32LE(SAMPLE_RATE * 2, 28)
  header.writeUInt16LE(2, 32)
  header.writeUInt16LE(16, 34)
  header.write("data\xff\xff\xff\xff", 36, "latin1")
  return header
})()

/** One recording, in parts. */
interface Master {
  readonly id3: Buffer
  readonly info: Buffer
  readonly head: Buffer
  readonly middle: Buffer
  readonly tail: Buffer
}

let recorded: Promise<ReadonlyMap<number, Master>> | undefined

/** Makes the recordings now instead of at the first MP3; takes about as long as one start of ffmpeg. */
export const prepareSpeech = () => {
  recorded ??= record()
  return recorded
}

/** All tones in one run of ffmpeg, with libmp3lame's own ID3v2 tag and Info frame. */
const record = () =>
  withTempDir(async (dir) => {
    const samples = MASTER_BLOCKS * BLOCK
    const fade = `min(1,min(n/${FADE},(${samples}-n)/${FADE}))`
    const inputs = TONES.flatMap((hz) => {
      const wave = `${AMPLITUDE}*${fade}*sin(2*PI*${hz}*n/${SAMPLE_RATE})`
      return ["-f", "lavfi", "-i", `aevalsrc='${wave}':s=${SAMPLE_RATE}:d=${samples / SAMPLE_RATE}`]
    })
    const path = (hz: number) => join(dir, `${hz}.mp3`)
    const encoder = ["-c:a", "libmp3lame", "-b:a", "160k", "-reservoir", "0"]
    const outputs = TONES.flatMap((hz, index) => ["-map", `${index}:a`, ...encoder, path(hz)])
    await ffmpeg([...inputs, ...outputs])
    const masters = await Promise.all(
      TONES.map(
        async (hz): Promise<[number, Master]> => [hz, cut(Buffer.from(await Bun.file(path(hz)).bytes()))],
      ),
    )
    return new Map(masters)
  })

const cut = (mp3: Buffer): Master => {
  const id3End = 10 + [6, 7, 8, 9].reduce((size, at) => size * 128 + mp3.readUInt8(at), 0)
  const frames: Buffer[] = []
  for (let at = id3End; at + 4 <= mp3.length; ) {
    const size = frameSize(mp3, at)
    frames.push(mp3.subarray(at, at + size))
    at += size
  }
  const [info, ...sound] = frames
  const middle = sound[HEAD_FRAMES]
  if (info === undefined || middle === undefined) throw new Error("the recording is too short")
  return {
    id3: mp3.subarray(0, id3End),
    info,
    head: Buffer.concat(sound.slice(0, HEAD_FRAMES)),
    middle,
    tail: Buffer.concat(sound.slice(HEAD_FRAMES + MASTER_BLOCKS - MIN_BLOCKS)),
  }
}

const MPEG2_LAYER3_KBPS = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160]

/** ISO 13818-3: 72 bytes per kbit/s at 24 kHz is 3 bytes, and the padding slot. The Info frame is shorter. */
const frameSize = (mp3: Buffer, at: number): number => {
  const kbps = MPEG2_LAYER3_KBPS[mp3.readUInt8(at + 2) >> 4]
  if (mp3.readUInt16BE(at) >> 4 !== 0xfff || kbps === undefined) throw new Error(`no MP3 frame at byte ${at}`)
  return (72_000 * kbps) / SAMPLE_RATE + ((mp3.readUInt8(at + 2) >> 1) & 1)
}

/** Byte positions in the Info frame of an MPEG-2 mono file: after 4 of header and 9 of side information. */
const INFO_FRAMES = 13 + 8
const INFO_BYTES = INFO_FRAMES + 4

const mp3Of = async ({ hz, samples }: Spoken): Promise<Uint8Array> => {
  const master = (await prepareSpeech()).get(hz)
  if (master === undefined) throw new Error(`no recording of ${hz} Hz`)
  const { id3, head, middle, tail } = master
  const repeats = samples / BLOCK - MIN_BLOCKS
  const info = Buffer.from(master.info)
  const added = samples / BLOCK - MASTER_BLOCKS
  info.writeUInt32BE(info.readUInt32BE(INFO_FRAMES) + added, INFO_FRAMES)
  info.writeUInt32BE(info.readUInt32BE(INFO_BYTES) + added * middle.length, INFO_BYTES)
  const body = Buffer.alloc(repeats * middle.length, middle)
  return Buffer.concat([id3, info, head, body, tail])
}
