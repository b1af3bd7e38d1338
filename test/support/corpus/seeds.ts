/** Good recordings to be broken: what devices record, and what else the six containers can hold. */
import { recordings } from "../audio.ts"
import { ffmpegToFile, withTempDir } from "../ffmpeg.ts"
import { speechLike, wavOf } from "../wav.ts"

const once = (make: () => Promise<Uint8Array>) => {
  let made: Promise<Uint8Array> | undefined
  return () => {
    made ??= make()
    return made
  }
}

const signal = () => wavOf(speechLike(1, 44_100), { rate: 44_100 })
const saved = (name: string, ...args: ReadonlyArray<string>) =>
  once(() => ffmpegToFile(["-i", "pipe:0", ...args], name, signal()))

const picture = ["-f", "lavfi", "-i", "testsrc=s=48x48:r=10:d=1", "-map", "0:a", "-map", "1:v"]
const cover = [...picture, "-frames:v", "1", "-disposition:v", "attached_pic"]

const chapters = `;FFMETADATA1
title=Two chapters
comment=http://127.0.0.1:9/
${[0, 1].map((n) => `[CHAPTER]\nTIMEBASE=1/1000\nSTART=${n * 500}\nEND=${n * 500 + 500}\ntitle=Chapter ${n}\n`).join("")}`

const withChapters = (name: string, ...args: ReadonlyArray<string>) =>
  once(() =>
    withTempDir(async (dir) => {
      const path = `${dir}/chapters`
      await Bun.write(path, chapters)
      return ffmpegToFile(["-i", "pipe:0", "-i", path, "-map_metadata", "1", ...args], name, signal())
    }),
  )

const devices = Object.fromEntries(Object.entries(recordings).map(([name, { make }]) => [name, make]))

export const seeds: Readonly<Record<string, () => Promise<Uint8Array>>> = {
  ...devices,
  wavRf64: saved("a.wav", "-rf64", "always"),
  wavMuLaw: saved("a.wav", "-ar", "8000", "-c:a", "pcm_mulaw"),
  wavALaw: saved("a.wav", "-ar", "8000", "-c:a", "pcm_alaw"),
  wavAdpcmIma: saved("a.wav", "-c:a", "adpcm_ima_wav"),
  wavAdpcmMs: saved("a.wav", "-c:a", "adpcm_ms"),
  wavOfMp3: saved("a.wav", "-c:a", "libmp3lame"),
  wav5Channels: saved("a.wav", "-ac", "6", "-c:a", "pcm_s32le"),
  mp3WithChapters: withChapters("a.mp3", "-c:a", "libmp3lame"),
  mp3LowRate: saved("a.mp3", "-ar", "8000", "-c:a", "libmp3lame", "-b:a", "8k"),
  webmVorbis: saved("a.webm", "-c:a", "libvorbis"),
  webmWithVideo: saved("a.webm", ...picture, "-c:v", "libvpx", "-c:a", "libopus", "-ar", "48000"),
  mkvFlacWithChapters: withChapters("a.mka", "-c:a", "flac"),
  mkvAac: saved("a.mka", "-c:a", "aac"),
  oggFlac: saved("a.oga", "-c:a", "flac"),
  oggSpeex: saved("a.spx", "-ar", "16000", "-c:a", "libspeex"),
  flacWithPicture: saved("a.flac", ...cover, "-c:v", "png", "-c:a", "flac"),
  m4aWithCover: saved("a.m4a", ...cover, "-c:v", "mjpeg", "-c:a", "aac"),
  m4aWithChapters: withChapters("a.m4a", "-c:a", "aac"),
  m4aAlac: saved("a.m4a", "-c:a", "alac"),
  mp4Fragments: saved(
    "a.mp4",
    "-c:a",
    "aac",
    "-movflags",
    "empty_moov+default_base_moof",
    "-frag_duration",
    "100000",
  ),
}
