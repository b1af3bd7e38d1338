/**
 * Recordings as devices make them. All are valid. The machine's ffmpeg makes them on first use, and they stay in memory
 * for the test process. They contain speech-like audio.
 */
import { join } from "node:path"
import { ffmpeg, ffmpegToFile } from "./ffmpeg.ts"
import { speechLike, wavOf } from "./wav.ts"

/** Length of most recordings; `recordings` says which differ. */
export const SECONDS = 2
/** At 64 kbit/s more than the 64 KB with which ffmpeg begins. */
const LONGER_SECONDS = 12

export type Recording = () => Promise<Uint8Array>

/** Makes it once. */
const once = (make: () => Promise<Uint8Array> | Uint8Array): Recording => {
  let made: Promise<Uint8Array> | undefined
  return () => {
    made ??= Promise.resolve(make())
    return made
  }
}

/** A 48 kHz microphone signal, for ffmpeg to encode from stdin. */
const microphone = once(() => wavOf(speechLike(SECONDS, 48_000), { rate: 48_000 }))

/** Encodes to a pipe, as a live recorder does: the header cannot be completed afterwards. */
const piped = (...args: readonly string[]) =>
  once(async () => ffmpeg(["-i", "pipe:0", ...args, "pipe:1"], await microphone()))

/** Encodes to a file, as an app does: the header is completed at the end. */
const saved = (name: string, ...args: readonly string[]) =>
  once(async () => ffmpegToFile(["-i", "pipe:0", ...args], name, await microphone()))

const listInfo = Buffer.from("INFOISFT\x0e\0\0\0Lavf59.27.100\0", "latin1")

/** The format of speech recognition: 16 kHz, mono, 16 bits, with a minimal header. */
export const wav16k = once(() => wavOf(speechLike(SECONDS)))
/** A studio's or a Mac's recorder: 44.1 kHz, stereo, 24 bits. */
export const wav44kStereo24 = once(() =>
  wavOf(speechLike(SECONDS, 44_100), { rate: 44_100, channels: 2, encoding: "s24" }),
)
/** Audacity and the Web Audio API: 32-bit float. */
export const wavFloat = once(() =>
  wavOf(speechLike(SECONDS, 44_100), { rate: 44_100, channels: 2, encoding: "f32" }),
)
/** ffmpeg's own output: a LIST chunk puts `data` at byte 78 instead of 44. */
export const wavWithList = once(() =>
  wavOf(speechLike(SECONDS), { before: [{ id: "LIST", bytes: listInfo }] }),
)
/** Broadcast recorders: many chunks first, one of odd length with its pad byte. */
export const wavWithOddChunk = once(() =>
  wavOf(speechLike(SECONDS), {
    before: [
      { id: "bext", bytes: new Uint8Array(602) },
      { id: "id3 ", bytes: new Uint8Array(33) },
      { id: "fact", bytes: new Uint8Array(4) },
    ],
  }),
)
/** Windows, whose recorders write WAVE_FORMAT_EXTENSIBLE. */
export const wavExtensible = once(() =>
  wavOf(speechLike(SECONDS, 48_000), { rate: 48_000, channels: 2, encoding: "s16", extensible: true }),
)
/** A streamed WAV: both sizes are 0xffffffff. */
export const wavStreamed = once(() => wavOf(speechLike(SECONDS), { sizes: "unknown" }))
/** A small device that does not fill in the sizes: both are 0. */
export const wavUnfinished = once(() => wavOf(speechLike(SECONDS), { sizes: "zero" }))

/** A phone's dictation app: MP3 with an Info frame, no ID3. */
export const mp3 = saved("a.mp3", "-c:a", "libmp3lame", "-b:a", "64k", "-id3v2_version", "0")
/** A podcast or a shared file: ID3v2 with a title and a cover, which to ffmpeg is a video stream. */
export const mp3WithCover = once(async () => {
  const cover = ["-f", "lavfi", "-i", "color=c=red:s=64x64:d=1"]
  const picture = ["-map", "1:v", "-frames:v", "1", "-c:v", "mjpeg", "-disposition:v", "attached_pic"]
  const sound = ["-map", "0:a", "-c:a", "libmp3lame", "-b:a", "64k", "-metadata", "title=Große Träume"]
  return ffmpegToFile(["-i", "pipe:0", ...cover, ...sound, ...picture], "a.mp3", await microphone())
})

const opus = ["-c:a", "libopus", "-b:a", "48k"]

/** Chrome's, Edge's and Firefox's MediaRecorder: WebM/Opus with no duration, sizes unknown. */
export const webmOpus = once(async () => {
  const muxed = await ffmpeg(
    ["-i", "pipe:0", ...opus, "-f", "webm", "-live", "1", "pipe:1"],
    await microphone(),
  )
  return forgetClusterSizes(muxed)
})
/** WhatsApp's and Telegram's voice messages; Firefox on request. */
export const oggOpus = piped(...opus, "-f", "ogg")
/** Older Linux and Android recorders. */
export const oggVorbis = piped("-c:a", "libvorbis", "-f", "ogg")
/** Dictation devices and archives. */
export const flac = saved("a.flac", "-c:a", "flac")
/** iPhone's Voice Memos and Android's recorder: the index (`moov`) is after the audio. */
export const m4a = saved("a.m4a", "-c:a", "aac", "-b:a", "64k")
/**
 * A longer memo. ffmpeg can read the short one from a pipe, as it fits into its first buffer, but not this one:
 * the index is then out of reach.
 */
export const m4aLonger = once(async () => {
  const longer = wavOf(speechLike(LONGER_SECONDS, 48_000), { rate: 48_000 })
  return ffmpegToFile(["-i", "pipe:0", "-c:a", "aac", "-b:a", "128k"], "a.m4a", longer)
})
/** The same as the first, prepared for the web: `moov` first. */
export const m4aFaststart = saved("a.m4a", "-c:a", "aac", "-b:a", "64k", "-movflags", "+faststart")
/** Safari's MediaRecorder: fragmented MP4, no duration in the header. */
export const mp4Fragmented = piped(
  ...["-c:a", "aac", "-b:a", "64k", "-f", "mp4"],
  ...["-movflags", "frag_keyframe+empty_moov+default_base_moof"],
)
/** A phone's camera: a video with the speech in its audio track. */
export const mp4WithVideo = once(async () => {
  const video = ["-f", "lavfi", "-i", `testsrc=s=64x64:r=10:d=${SECONDS}`]
  const codecs = ["-map", "0:v", "-map", "1:a", "-c:v", "mpeg4", "-c:a", "aac", "-b:a", "64k"]
  return ffmpegToFile([...video, "-i", "pipe:0", ...codecs], "a.mp4", await microphone())
})

const fixture = (name: string) => once(() => Bun.file(join(import.meta.dir, "../fixtures", name)).bytes())

/** A real recording by Chromium 156: "My name is Alice and I like green tea.", 4.2 s, 48 kHz stereo. */
export const chromiumWebm = fixture("chromium-mediarecorder.webm")
/** The same with `audio/mp4`: Opus in fragmented MP4. */
export const chromiumMp4 = fixture("chromium-mediarecorder.mp4")

const MOV = "mov,mp4,m4a,3gp,3g2,mj2"

export interface RecordingInfo {
  readonly make: Recording
  /** ffprobe's name of the container. */
  readonly format: string
  readonly codec: string
  readonly name: string
  readonly type: string
  /** Duration of the audio. An encoder may add some ms. */
  readonly seconds: number
}

const info = (
  make: Recording,
  format: string,
  codec: string,
  name: string,
  type: string,
  seconds = SECONDS,
): RecordingInfo => ({ make, format, codec, name, type, seconds })

/** All recordings, with what ffprobe finds, the duration, and the usual file name and type. */
export const recordings = {
  wav16k: info(wav16k, "wav", "pcm_s16le", "a.wav", "audio/wav"),
  wav44kStereo24: info(wav44kStereo24, "wav", "pcm_s24le", "a.wav", "audio/x-wav"),
  wavFloat: info(wavFloat, "wav", "pcm_f32le", "a.wav", "audio/wave"),
  wavWithList: info(wavWithList, "wav", "pcm_s16le", "a.wav", "audio/wav"),
  wavWithOddChunk: info(wavWithOddChunk, "wav", "pcm_s16le", "a.wav", "audio/wav"),
  wavExtensible: info(wavExtensible, "wav", "pcm_s16le", "a.wav", "audio/wav"),
  wavStreamed: info(wavStreamed, "wav", "pcm_s16le", "a.wav", "audio/wav"),
  wavUnfinished: info(wavUnfinished, "wav", "pcm_s16le", "a.wav", "audio/wav"),
  mp3: info(mp3, "mp3", "mp3", "a.mp3", "audio/mpeg"),
  mp3WithCover: info(mp3WithCover, "mp3", "mp3", "a.mp3", "audio/mp3"),
  webmOpus: info(webmOpus, "matroska,webm", "opus", "blob", "audio/webm;codecs=opus"),
  oggOpus: info(oggOpus, "ogg", "opus", "a.ogg", "audio/ogg"),
  oggVorbis: info(oggVorbis, "ogg", "vorbis", "a.oga", "application/ogg"),
  flac: info(flac, "flac", "flac", "a.flac", "audio/flac"),
  m4a: info(m4a, MOV, "aac", "a.m4a", "audio/x-m4a"),
  m4aLonger: info(m4aLonger, MOV, "aac", "memo.m4a", "audio/x-m4a", LONGER_SECONDS),
  m4aFaststart: info(m4aFaststart, MOV, "aac", "a.m4a", "audio/mp4"),
  mp4Fragmented: info(mp4Fragmented, MOV, "aac", "blob", "audio/mp4"),
  mp4WithVideo: info(mp4WithVideo, MOV, "aac", "a.mp4", "video/mp4"),
  chromiumWebm: info(chromiumWebm, "matroska,webm", "opus", "blob", "audio/webm", 4.2),
  chromiumMp4: info(chromiumMp4, MOV, "opus", "blob", "audio/mp4", 4.2),
} satisfies Record<string, RecordingInfo>

const CLUSTER = Buffer.from("1f43b675", "hex")
const UNKNOWN_SIZE = Buffer.from("01ffffffffffffff", "hex")

/** ffmpeg completes each cluster before it writes it; a browser cannot, and leaves every size unknown. */
const forgetClusterSizes = (webm: Uint8Array): Uint8Array => {
  const bytes = Buffer.from(webm)
  const out: Buffer[] = []
  let from = 0
  for (let at = bytes.indexOf(CLUSTER); at >= 0; at = bytes.indexOf(CLUSTER, from)) {
    const { width, value } = ebmlSize(bytes, at + CLUSTER.length)
    const start = at + CLUSTER.length + width
    out.push(bytes.subarray(from, at), CLUSTER, UNKNOWN_SIZE, bytes.subarray(start, start + value))
    from = start + value
  }
  return Buffer.concat([...out, bytes.subarray(from)])
}

/** RFC 8794: the number of zeros before the first one bit is the number of further bytes. */
const ebmlSize = (bytes: Buffer, at: number) => {
  const first = bytes.readUInt8(at)
  const width = Math.clz32(first) - 23
  const rest = width === 1 ? 0 : bytes.readUIntBE(at + 1, width - 1)
  return { width, value: (first & ((1 << (8 - width)) - 1)) * 256 ** (width - 1) + rest }
}
