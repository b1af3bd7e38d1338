/** The upstream's tones in every format that a speech server may send. */
import { ffmpeg, ffmpegToFile } from "./ffmpeg.ts"
import { encodeSpeech, speechOf } from "./upstream-audio.ts"

export interface EncodedSpeech {
  readonly name: string
  /** The Content-Type that belongs to it. */
  readonly type: string
  readonly encode: (pcm: Uint8Array) => Promise<Uint8Array>
}

const rawIn = ["-f", "s16le", "-ar", "24000", "-ac", "1", "-i", "pipe:0"]

/** Written to a pipe, as a server does that streams. */
const piped = (name: string, type: string, ...args: ReadonlyArray<string>): EncodedSpeech => ({
  name,
  type,
  encode: (pcm) => ffmpeg([...rawIn, ...args, "pipe:1"], pcm),
})

/** Written to a file, so that the header has the true sizes. */
const filed = (name: string, type: string, file: string, ...args: ReadonlyArray<string>): EncodedSpeech => ({
  name,
  type,
  encode: (pcm) => ffmpegToFile([...rawIn, ...args], file, pcm),
})

/** A WAV from a pipe has sizes of 0xffffffff; these programs write 0. */
const withSizesOfZero = (wav: Uint8Array) => {
  const copy = Buffer.from(wav)
  copy.writeUInt32LE(0, 4)
  copy.writeUInt32LE(0, copy.indexOf("data") + 4)
  return copy
}

const raw = (name: string, type: string, format: string, rate: number, channels: number) =>
  piped(name, type, "-f", format, "-ar", `${rate}`, "-ac", `${channels}`)

const wav = (name: string, ...args: ReadonlyArray<string>) => filed(name, "audio/wav", "a.wav", ...args)
const mp3 = (name: string, rate: number, channels: number, ...args: ReadonlyArray<string>) =>
  filed(name, "audio/mpeg", "a.mp3", "-ar", `${rate}`, "-ac", `${channels}`, ...args)

export const encodings: ReadonlyArray<EncodedSpeech> = [
  wav("WAV 24 kHz"),
  piped("WAV 24 kHz of unknown size", "audio/wav", "-f", "wav"),
  {
    name: "WAV 24 kHz with sizes of 0",
    type: "audio/x-wav",
    encode: async (pcm) => withSizesOfZero(await ffmpeg([...rawIn, "-f", "wav", "pipe:1"], pcm)),
  },
  wav("WAV 48 kHz stereo", "-ar", "48000", "-ac", "2"),
  wav("WAV 22.05 kHz", "-ar", "22050"),
  wav("WAV 8 bit 16 kHz", "-ar", "16000", "-c:a", "pcm_u8"),
  wav("WAV 24 bit", "-c:a", "pcm_s24le"),
  wav("WAV 32 bit", "-c:a", "pcm_s32le"),
  wav("WAV float", "-c:a", "pcm_f32le"),
  wav("WAV µ-law 8 kHz", "-c:a", "pcm_mulaw", "-ar", "8000"),
  wav("RF64", "-rf64", "always"),
  mp3("MP3 24 kHz", 24_000, 1),
  mp3("MP3 44.1 kHz stereo", 44_100, 2),
  mp3("MP3 22.05 kHz", 22_050, 1),
  mp3("MP3 16 kHz", 16_000, 1),
  mp3("MP3 8 kHz", 8000, 1),
  mp3("MP3 without tags", 48_000, 1, "-write_xing", "0", "-id3v2_version", "0"),
  piped("Ogg Opus", "audio/ogg", "-c:a", "libopus", "-f", "ogg"),
  piped("Ogg Vorbis", "audio/ogg", "-c:a", "libvorbis", "-f", "ogg"),
  piped("FLAC", "audio/flac", "-f", "flac"),
  piped("Ogg FLAC", "audio/ogg", "-c:a", "flac", "-f", "ogg"),
  piped("WebM", "audio/webm", "-c:a", "libopus", "-f", "webm"),
  piped("AAC", "audio/aac", "-c:a", "aac", "-f", "adts"),
  filed("MP4", "audio/mp4", "a.m4a"),
  filed("MP4 with its index first", "audio/mp4", "a.m4a", "-movflags", "+faststart"),
  piped("fragmented MP4", "audio/mp4", "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov", "-f", "mp4"),
  filed("AIFF", "audio/aiff", "a.aiff"),
  piped("AU", "audio/basic", "-f", "au"),
  raw("PCM 16 kHz", "audio/pcm;rate=16000", "s16le", 16_000, 1),
  raw("PCM 48 kHz stereo", 'audio/pcm; rate="48000"; channels=2', "s16le", 48_000, 2),
  raw("L16", "audio/L16;rate=24000;channels=1", "s16be", 24_000, 1),
  raw("L16 44.1 kHz stereo", "audio/L16;rate=44100;channels=2", "s16be", 44_100, 2),
  raw("µ-law", "audio/basic", "mulaw", 8000, 1),
]

/** `seconds` of the n-th tone. */
export const tone = (seconds: number, index = 0) => {
  const spoken = speechOf({ seconds }, index)
  return { hz: spoken.hz, seconds: spoken.samples / 24_000, pcm: encodeSpeech(spoken, "pcm") }
}
