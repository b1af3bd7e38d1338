/** Uploads that are invalid, too large, or malicious. */
import { ffmpeg, ffmpegToFile, withTempDir } from "./ffmpeg.ts"
import { silence, speechLike, tone, wavOf } from "./wav.ts"

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Pseudo-random bytes, the same in every run. */
export const randomBytes = (length = 20_000, seed = 1): Uint8Array => {
  let state = seed
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state >>> 24
  })
}

export const wavHeaderOnly = (): Uint8Array => wavOf(silence(0))
/** `fmt ` and then the end: not even a `data` chunk. */
export const wavWithoutData = (): Uint8Array => wavHeaderOnly().subarray(0, 36)
/** The header claims ten times the data, as in an upload that broke off. The 2 s of audio are valid. */
export const wavClaimingMore = (): Uint8Array => wavOf(speechLike(2), { sizes: { data: 640_000 } })
/** The header claims 1 s of 2. */
export const wavClaimingLess = (): Uint8Array => wavOf(speechLike(2), { sizes: { data: 32_000 } })

/** Cut off, as by a lost connection or a crashed recorder. An M4A with its index at the end cannot be decoded then. */
export const truncated = (bytes: Uint8Array, share = 0.5): Uint8Array =>
  bytes.slice(0, Math.floor(bytes.length * share))

/** An HLS playlist. Without protection, ffmpeg fetches the URL and reads the file. */
export const hlsPlaylist = (url = "http://127.0.0.1:9/secret.ts"): Uint8Array =>
  utf8(
    [
      "#EXTM3U",
      "#EXT-X-TARGETDURATION:10",
      "#EXTINF:10,",
      url,
      "#EXTINF:10,",
      "file:///etc/passwd",
      "#EXT-X-ENDLIST",
    ]
      .join("\n")
      .concat("\n"),
  )

export const dashManifest = (url = "http://127.0.0.1:9/secret.mp4"): Uint8Array =>
  utf8(`<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT2S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011">
 <Period><AdaptationSet mimeType="audio/mp4"><Representation id="1" bandwidth="64000"><BaseURL>${url}</BaseURL></Representation></AdaptationSet></Period>
</MPD>
`)

/** ffmpeg's script for joining files. */
export const ffconcat = (): Uint8Array =>
  utf8("ffconcat version 1.0\nfile /etc/passwd\nfile file:///etc/hostname\n")

/** A session description makes ffmpeg listen on a UDP port. */
export const sdp = (): Uint8Array =>
  utf8(
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\na=rtpmap:0 PCMU/8000\n",
  )

/** The first 12 bytes are a WAV, the rest is a playlist. */
export const riffPlaylist = (url?: string): Uint8Array =>
  Buffer.concat([wavHeaderOnly().subarray(0, 12), Buffer.from("\n"), hlsPlaylist(url)])

/** A real archive with one stored file. */
export const zip = (): Uint8Array => {
  const name = Buffer.from("speech.wav")
  const content = wavOf(tone(0.1))
  const common = Buffer.alloc(26)
  common.writeUInt16LE(20, 0)
  common.writeUInt32LE(Bun.hash.crc32(content), 10)
  common.writeUInt32LE(content.length, 14)
  common.writeUInt32LE(content.length, 18)
  common.writeUInt16LE(name.length, 22)
  const local = Buffer.concat([Buffer.from("PK\x03\x04"), common, name, content])
  const central = Buffer.concat([Buffer.from("PK\x01\x02\x14\0"), common, Buffer.alloc(14), name])
  const end = Buffer.alloc(22)
  end.write("PK\x05\x06")
  end.writeUInt16LE(1, 8)
  end.writeUInt16LE(1, 10)
  end.writeUInt32LE(central.length, 12)
  end.writeUInt32LE(local.length, 16)
  return Buffer.concat([local, central, end])
}

const picture = ["-f", "lavfi", "-i", "testsrc=s=64x64:r=10:d=1"]
/** A screen recording without a microphone. */
export const videoOnlyMp4 = () => ffmpegToFile([...picture, "-c:v", "mpeg4"], "a.mp4")
export const videoOnlyWebm = () => ffmpeg([...picture, "-c:v", "libvpx", "-f", "webm", "pipe:1"])
/** Theora: an OGG without audio. */
export const videoOnlyOgg = () => ffmpeg([...picture, "-c:v", "libtheora", "-f", "ogg", "pipe:1"])

/** Files that must be refused as INVALID_AUDIO, whatever their name and type. */
export const notAudio = {
  empty: () => new Uint8Array(),
  oneByte: () => Uint8Array.of(0x52),
  random: () => randomBytes(),
  text: () => utf8("This is a text file, named speech.wav.\n".repeat(100)),
  json: () => utf8(JSON.stringify({ audio: "UklGRg==", format: "wav" })),
  html: () => utf8("<!doctype html><title>404</title>"),
  zip,
  hlsPlaylist: () => hlsPlaylist(),
  dashManifest: () => dashManifest(),
  ffconcat,
  sdp,
  riffPlaylist: () => riffPlaylist(),
  wavHeaderOnly,
  wavWithoutData,
  id3Only: () => Buffer.concat([Buffer.from("ID3\x04\0\0\0\0\x07\x76", "latin1"), new Uint8Array(1014)]),
  oggMagicThenNoise: () => Buffer.concat([Buffer.from("OggS\0\x02"), randomBytes()]),
  webmMagicThenNoise: () => Buffer.concat([Buffer.from("1a45dfa3", "hex"), randomBytes()]),
  flacMagicThenNoise: () => Buffer.concat([Buffer.from("fLaC"), randomBytes()]),
  mp4MagicThenNoise: () =>
    Buffer.concat([Buffer.from("\0\0\0\x18ftypM4A \0\0\0\0", "latin1"), randomBytes()]),
  videoOnlyMp4,
  videoOnlyWebm,
  videoOnlyOgg,
} as const satisfies Record<string, () => Uint8Array | Promise<Uint8Array>>

/** Silence that takes almost no bytes, with the true duration in the header. */
export const silentFlac = (seconds: number): Promise<Uint8Array> =>
  ffmpegToFile(
    ["-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", String(seconds), "-c:a", "flac"],
    "a.flac",
  )

/** 40 minutes in some 100 KB: small to send, long to decode. */
export const flacOf40Minutes = () => silentFlac(2400)

/** A browser's recording of 6 minutes, without a duration in the header. */
export const webmOf6Minutes = (): Promise<Uint8Array> =>
  withTempDir(async (dir) => {
    const piece = `${dir}/piece.ogg`
    await ffmpeg(["-i", "pipe:0", "-c:a", "libopus", "-b:a", "16k", piece], wavOf(speechLike(10)))
    return ffmpeg(["-stream_loop", "35", "-i", piece, "-c", "copy", "-f", "webm", "-live", "1", "pipe:1"])
  })

/** A valid WAV of exactly `bytes` bytes. 26 MB at 48 kHz stereo is 142 s: too large, but not too long. */
export const wavOfSize = (bytes = 26 * 1024 ** 2): Uint8Array => {
  const header = wavOf(silence(0), { rate: 48_000, channels: 2, sizes: { data: bytes - 44 } })
  const file = new Uint8Array(bytes)
  file.set(header)
  return file
}

/** The same bytes at an odd address, where a view of 16-bit samples is not possible. */
export const oddlyAligned = (bytes: Uint8Array): Uint8Array => {
  const room = new Uint8Array(bytes.length + 1)
  room.set(bytes, 1)
  return room.subarray(1)
}
