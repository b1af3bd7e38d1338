/** WebM files that lie, refer to themselves, or have no end. */
import { deflateSync } from "node:zlib"
import { be, each, type HandMade, join, nested, text, times, u8 } from "./hand-made.ts"

/** An element: its id as it is written, and a size of eight bytes. */
const el = (id: string, ...content: ReadonlyArray<Uint8Array>) => {
  const all = join(...content)
  return join(Buffer.from(id, "hex"), u8(1), be(7, all.length), all)
}
const ofSize = (id: string, size: string, ...content: ReadonlyArray<Uint8Array>) =>
  join(Buffer.from(id, "hex"), Buffer.from(size, "hex"), ...content)
const unknown = "01ffffffffffffff"
const float = (value: number) => {
  const field = Buffer.alloc(8)
  field.writeDoubleBE(value)
  return field
}

const head = el("1a45dfa3", el("4282", text("webm")), el("4287", be(1, 4)), el("4285", be(1, 2)))
const info = el("1549a966", el("2ad7b1", be(4, 1_000_000)))
interface Track {
  readonly number?: number
  readonly codec?: string
  readonly kind?: number
  readonly setup?: Uint8Array
  readonly audio?: Uint8Array
  readonly more?: Uint8Array
}
const pcm = (rate = 16_000, channels: number | bigint = 1, bits = 16) =>
  el("e1", el("b5", float(rate)), el("9f", be(8, channels)), el("6264", be(4, bits)))
const track = ({
  number = 1,
  codec = "A_PCM/INT/LIT",
  kind = 2,
  setup = u8(),
  audio = pcm(),
  more = u8(),
}: Track = {}) =>
  el(
    "ae",
    el("d7", be(4, number)),
    el("73c5", be(4, number)),
    el("83", be(1, kind)),
    el("86", text(codec)),
    el("63a2", setup),
    audio,
    more,
  )
const block = (content: Uint8Array, time = 0, flags = 0x80) =>
  el("a3", u8(0x81), be(2, time), u8(flags), content)
const cluster = (time: number | bigint, ...blocks: ReadonlyArray<Uint8Array>) =>
  el("1f43b675", el("e7", be(8, time)), ...blocks)
const samples = Buffer.alloc(3200, 0x11)
const sound = cluster(0, block(samples))
const tracks = (...all: ReadonlyArray<Uint8Array>) => el("1654ae6b", ...all)
const webm = (...content: ReadonlyArray<Uint8Array>) =>
  join(head, ofSize("18538067", unknown), info, ...content)
const ofTrack = (made: Track) => webm(tracks(track(made)), sound)

const compression = (algorithm: number, settings: Uint8Array = u8()) =>
  el(
    "6d80",
    el(
      "6240",
      el("5031", be(1, 0)),
      el("5032", be(1, 1)),
      el("5034", el("4254", be(1, algorithm)), el("4255", settings)),
    ),
  )

const codecs = [
  "A_OPUS",
  "A_VORBIS",
  "A_FLAC",
  "A_AAC",
  "A_AAC/MPEG4/LC/SBR",
  "A_MPEG/L3",
  "A_AC3",
  "A_EAC3",
  "A_DTS",
  "A_TRUEHD",
  "A_TTA1",
  "A_WAVPACK4",
  "A_ALAC",
  "A_REAL/COOK",
  "A_REAL/28_8",
  "A_REAL/ATRC",
  "A_REAL/SIPR",
  "A_MS/ACM",
  "A_QUICKTIME",
  "A_QUICKTIME/QDM2",
  "A_PCM/FLOAT/IEEE",
  "A_PCM/INT/BIG",
  "S_TEXT/UTF8",
  "S_TEXT/ASS",
  "D_WEBVTT/SUBTITLES",
  "V_MS/VFW/FOURCC",
  "A_UNHEARD_OF",
  "",
]

const attached = (name: string, type: string, content: Uint8Array) =>
  el(
    "1941a469",
    el("61a7", el("466e", text(name)), el("4660", text(type)), el("465c", content), el("46ae", be(1, 1))),
  )
const seek = (id: string, at: number | bigint) =>
  el("114d9b74", el("4dbb", el("53ab", Buffer.from(id, "hex")), el("53ac", be(8, at))))

export const ebml: HandMade = {
  "webm that is right": () => ofTrack({}),
  ...each("webm of codec", codecs, (codec) => ofTrack({ codec })),
  ...each("webm with noise to set up", codecs.slice(0, 20), (codec) =>
    ofTrack({ codec, setup: Buffer.alloc(100, 0xa5) }),
  ),
  ...each("webm of rate", [0, -1, 1, 1e308, Number.NaN, Number.POSITIVE_INFINITY], (rate) =>
    ofTrack({ audio: pcm(rate) }),
  ),
  ...each("webm of channels", [0n, 64n, 65_536n, 2n ** 32n, 2n ** 64n - 1n], (channels) =>
    ofTrack({ audio: pcm(16_000, channels) }),
  ),
  ...each("webm of bits", [0, 1, 24, 4096, 0xffff_ffff], (bits) => ofTrack({ audio: pcm(16_000, 1, bits) })),
  ...each(
    "webm whose tracks have size",
    ["80", "ff", unknown, "01fffffffffffffe", "10ffffff", "00"],
    (size) => webm(ofSize("1654ae6b", size, track()), sound),
  ),
  ...each("webm whose block has size", ["80", "ff", "01ffffffffffff00", "7fff"], (size) =>
    webm(tracks(track()), el("1f43b675", el("e7", be(1, 0)), ofSize("a3", size, samples))),
  ),
  ...each("webm of elements in elements", [100, 5000], (depth) =>
    webm(
      nested(depth, (inner) => el("1043a770", inner), u8()),
      tracks(track()),
      sound,
    ),
  ),
  ...each("webm of chapters in chapters", [100, 5000], (depth) =>
    webm(
      el(
        "1043a770",
        el(
          "45b9",
          nested(depth, (inner) => el("b6", inner)),
        ),
      ),
      tracks(track()),
      sound,
    ),
  ),
  "webm of clusters without end in each other": () =>
    webm(tracks(track()), times(20_000, ofSize("1f43b675", unknown))),
  "webm of segments in segments": () =>
    join(head, times(20_000, ofSize("18538067", unknown)), info, tracks(track()), sound),
  "webm of 5,000 tracks": () =>
    webm(tracks(...Array.from({ length: 5000 }, (_, number) => track({ number: number + 1 }))), sound),
  "webm of 5,000 tracks of one number": () => webm(tracks(times(5000, track())), sound),
  "webm of 100,000 empty blocks": () => webm(tracks(track()), cluster(0, times(100_000, el("a3")))),
  "webm whose clusters lie far apart": () =>
    webm(
      tracks(track()),
      sound,
      cluster(2n ** 40n, block(samples)),
      cluster(2n ** 62n, block(samples)),
      cluster(0, block(samples)),
    ),
  "webm whose scale is 0": () =>
    join(head, ofSize("18538067", unknown), el("1549a966", el("2ad7b1", be(4, 0))), tracks(track()), sound),
  "webm whose scale is 2^63": () =>
    join(
      head,
      ofSize("18538067", unknown),
      el("1549a966", el("2ad7b1", be(8, 2n ** 63n)), el("4489", float(1e300))),
      tracks(track()),
      sound,
    ),
  ...each("webm laced by", [0x82, 0x84, 0x86], (flags) =>
    webm(tracks(track()), cluster(0, block(join(u8(255), Buffer.alloc(600, 0xff)), 0, flags))),
  ),
  "webm whose sound is compressed": () =>
    webm(tracks(track({ more: compression(0) })), cluster(0, block(deflateSync(samples)))),
  "webm whose sound is compressed a thousandfold": () =>
    webm(
      tracks(track({ more: compression(0) })),
      cluster(0, ...Array<Buffer>(8).fill(block(deflateSync(Buffer.alloc(50 * 1024 ** 2))))),
    ),
  "webm whose frames begin with a megabyte": () =>
    webm(
      tracks(track({ more: compression(3, Buffer.alloc(1024 ** 2)) })),
      cluster(0, times(2000, block(u8(1, 2)))),
    ),
  ...each("webm compressed by", [1, 2, 255], (algorithm) =>
    webm(tracks(track({ more: compression(algorithm) })), cluster(0, block(samples))),
  ),
  ...each("webm that seeks itself at", [0n, 1n, 40n, 2n ** 62n], (at) =>
    webm(seek("114d9b74", at), seek("1c53bb6b", at), tracks(track()), sound),
  ),
  "webm with a megabyte to set up": () => ofTrack({ codec: "A_OPUS", setup: Buffer.alloc(1024 ** 2) }),
  "webm with a link attached": ({ url, file }) =>
    webm(
      attached("cover.jpg", "image/jpeg", text(url)),
      attached(file, "text/plain", text(file)),
      tracks(track()),
      sound,
    ),
  "webm with a playlist attached": ({ url }) =>
    webm(
      attached("a.m3u8", "application/vnd.apple.mpegurl", text(`#EXTM3U\n${url}/a.ts\n`)),
      tracks(track()),
      sound,
    ),
  "webm with a font attached": () =>
    webm(attached("a.ttf", "font/ttf", Buffer.alloc(1e5, 0xff)), tracks(track()), sound),
  "webm that goes on in another file": ({ file }) =>
    join(
      head,
      ofSize("18538067", unknown),
      el("1549a966", el("3eb923", Buffer.alloc(16, 1)), el("3e83bb", text(file))),
      tracks(track()),
      sound,
    ),
  "webm of a kind unheard of": () =>
    join(el("1a45dfa3", el("4282", text("evil"))), webm(tracks(track()), sound).subarray(head.length)),
  "webm of a version to come": () =>
    join(
      el(
        "1a45dfa3",
        el("4286", be(1, 9)),
        el("42f7", be(1, 9)),
        el("42f2", be(1, 255)),
        el("42f3", be(1, 255)),
      ),
      webm(tracks(track()), sound).subarray(head.length),
    ),
}
