/** What is no audio file of the six kinds: playlists, scripts, archives, pictures, and audio of other kinds. */
import { gzipSync } from "node:zlib"
import { notAudio, randomBytes } from "../audio-hostile.ts"
import { ffmpegToFile } from "../ffmpeg.ts"
import { speechLike, wavOf } from "../wav.ts"
import { each, type HandMade, join, type Lures, text, times, u8 } from "./hand-made.ts"

const lists: Readonly<Record<string, (lures: Lures) => string>> = {
  hls: ({ url, file }) =>
    `#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n${url}/a.ts\n#EXTINF:10,\n${file}\n#EXT-X-ENDLIST\n`,
  "hls with a key": ({ url, file }) =>
    `#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="${url}/key"\n#EXT-X-MAP:URI="file://${file}"\n#EXTINF:1,\nconcat:${file}|${file}\n`,
  "hls of hls": ({ url }) =>
    `#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n${url}/b.m3u8\n#EXT-X-MEDIA:TYPE=AUDIO,URI="${url}/c.m3u8",GROUP-ID="a",NAME="a"\n`,
  ffconcat: ({ url, file }) => `ffconcat version 1.0\nfile ${file}\nfile '${url}/a.wav'\n`,
  sdp: ({ url }) =>
    `v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio ${new URL(url).port} RTP/AVP 0\na=control:${url}\n`,
  dash: ({ url }) =>
    `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet mimeType="audio/mp4"><Representation id="1"><BaseURL>${url}/</BaseURL></Representation></AdaptationSet></Period></MPD>`,
  entities: ({ url, file }) =>
    `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file://${file}"><!ENTITY b SYSTEM "${url}">]><x>&a;&b;</x>`,
  laughs: () =>
    `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">${Array.from({ length: 9 }, (_, n) => `<!ENTITY a${n} "${`&a${n === 0 ? "" : n - 1};`.repeat(10)}">`).join("")}]><x>&a8;</x>`,
  svg: ({ url, file }) =>
    `<svg xmlns="http://www.w3.org/2000/svg"><image href="${url}"/><image href="file://${file}"/><script>alert(1)</script></svg>`,
  pls: ({ url }) => `[playlist]\nFile1=${url}\nNumberOfEntries=1\n`,
  asx: ({ url }) => `<asx version="3.0"><entry><ref href="${url}"/></entry></asx>`,
  smil: ({ url }) => `<smil><body><audio src="${url}"/></body></smil>`,
  xspf: ({ file }) =>
    `<playlist version="1"><trackList><track><location>file://${file}</location></track></trackList></playlist>`,
  ram: ({ url }) => `rtsp://${new URL(url).host}/a.rm\n`,
  reference: ({ url }) => `[Reference]\nRef1=${url}\n`,
  rtspText: ({ url }) => `RTSPtextRTSP://${new URL(url).host}/a\n`,
  ffmetadata: ({ url }) => `;FFMETADATA1\ntitle=${url}\n[STREAM]\nx=1\n`,
  filters: ({ file }) => `movie=${file}[out0]`,
  subrip: ({ url }) => `1\n00:00:00,000 --> 00:00:10,000\n<img src="${url}">\n`,
  webvtt: () => "WEBVTT\n\n00:00.000 --> 00:10.000\nHello\n",
  ass: ({ file }) =>
    `[Script Info]\nScriptType: v4.00+\n[Fonts]\nfontname: ${file}\n[Events]\nDialogue: 0,0:00:00.00,0:00:10.00,Default,,0,0,0,,Hello\n`,
  microdvd: () => "{0}{25}Hello\n",
  cue: ({ file }) => `FILE "${file}" WAVE\n TRACK 01 AUDIO\n INDEX 01 00:00:00\n`,
  shell: ({ file }) => `#!/bin/sh\ncat ${file}\n`,
  php: ({ file }) => `<?php readfile("${file}"); ?>`,
  script: ({ url }) => `fetch("${url}")\n`,
  page: ({ url }) => `<!doctype html><audio src="${url}"></audio>`,
  http: ({ url }) => `HTTP/1.1 302 Found\r\nLocation: ${url}\r\n\r\n`,
  json: ({ file }) => JSON.stringify({ audio: file }),
  data: () => "data:audio/wav;base64,UklGRg==",
}

const frame = join(u8(0xff, 0xfb, 0x14, 0xc0), Buffer.alloc(92))
/** What lets a file pass for one of the six kinds. */
const disguises: Readonly<Record<string, Uint8Array>> = {
  wav: text("RIFF\x10\x27\0\0WAVE\n"),
  mp3: join(frame, frame),
  webm: Buffer.from("1a45dfa3", "hex"),
  ogg: text("OggS"),
  flac: text("fLaC\n"),
  mp4: text("\0\0\0\x14ftypM4A \0\0\0\0isom"),
  id3: text("ID3\x04\0\0\0\0\0\0"),
}

const magics: Readonly<Record<string, Uint8Array>> = {
  pdf: text("%PDF-1.7\n1 0 obj<</Type/Catalog/OpenAction<</S/URI/URI(http://127.0.0.1:9/)>>>>endobj\n%%EOF"),
  gif: text("GIF89a/*\x01\0\x01\0\0\0*/=1;alert(1)//"),
  png: join(Buffer.from("89504e470d0a1a0a0000000d49484452", "hex"), Buffer.alloc(8, 0x7f), u8(8, 6, 0, 0, 0)),
  jpeg: join(Buffer.from("ffd8ffe000104a46494600010100", "hex"), Buffer.alloc(100, 0xff)),
  tiff: text("II*\0\x08\0\0\0"),
  bmp: join(text("BM"), Buffer.alloc(60, 0x7f)),
  psd: text("8BPS\0\x01"),
  webp: text("RIFF\x20\0\0\0WEBPVP8 "),
  avi: text("RIFF\x20\0\0\0AVI LIST"),
  midi: text("MThd\0\0\0\x06\0\x01\0\x10\0\x60"),
  gzip: gzipSync(Buffer.alloc(10_000_000)),
  bzip2: text("BZh91AY&SY"),
  xz: Buffer.from("fd377a585a000004e6d6b446", "hex"),
  zstd: Buffer.from("28b52ffd", "hex"),
  rar: text("Rar!\x1a\x07\x01\0"),
  sevenZip: Buffer.from("377abcaf271c0004", "hex"),
  tar: join(Buffer.alloc(257), text("ustar\0"), Buffer.alloc(249)),
  elf: text("\x7fELF\x02\x01\x01"),
  exe: join(text("MZ"), Buffer.alloc(100)),
  java: Buffer.from("cafebabe00000034", "hex"),
  pickle: text("\x80\x04cos\nsystem\n"),
  sqlite: text("SQLite format 3\0"),
  asf: Buffer.from("3026b2758e66cf11a6d900aa0062ce6c", "hex"),
  real: text(".RMF\0\0\0\x12"),
  caf: text("caff\0\x01\0\0desc"),
  nut: text("nut/multimedia container\0"),
  ape: text("MAC \x96\x0f"),
  amr: text("#!AMR\n\x3c"),
  voc: text("Creative Voice File\x1a"),
  utf16: Buffer.from("\ufeff#EXTM3U\n", "utf16le"),
}

const speech = () => wavOf(speechLike(0.5, 44_100), { rate: 44_100 })
const otherKinds = [
  "aiff",
  "au",
  "ac3",
  "adts",
  "mp2",
  "avi",
  "flv",
  "mpegts",
  "asf",
  "wv",
  "caf",
  "mmf",
  "nut",
  "tta",
  "voc",
]

export const foreign: HandMade = {
  ...Object.fromEntries(
    Object.entries(lists).flatMap(([name, list]) => [
      [name, (lures: Lures) => text(list(lures))] as const,
      ...Object.entries(disguises).map(
        ([as, disguise]) =>
          [`${name} as ${as}`, (lures: Lures) => join(disguise, text(list(lures)))] as const,
      ),
    ]),
  ),
  ...Object.fromEntries(
    Object.entries(magics).map(([name, magic]) => [name, () => join(magic, randomBytes(500))]),
  ),
  ...Object.fromEntries(
    Object.entries(disguises).flatMap(([name, disguise]) => [
      [`${name} and noise`, () => join(disguise, randomBytes(5000, disguise.length))] as const,
      [`${name} and nothing`, () => join(disguise, Buffer.alloc(5000))] as const,
    ]),
  ),
  ...Object.fromEntries(
    otherKinds.map((kind) => [
      `${kind}, another kind of audio`,
      () =>
        ffmpegToFile(
          ["-i", "pipe:0", ...(kind === "mmf" ? ["-ar", "8000"] : []), "-f", kind],
          `a.${kind}`,
          speech(),
        ),
    ]),
  ),
  ...Object.fromEntries(Object.entries(notAudio).map(([name, make]) => [`no audio: ${name}`, () => make()])),
  ...each("so many zeros", [1, 4096, 1024 ** 2], (count) => Buffer.alloc(count)),
  ...each("so many spaces", [64, 1024 ** 2], (count) => times(count, text(" "))),
  "25 MB of zeros": () => Buffer.alloc(25 * 1024 ** 2),
}
