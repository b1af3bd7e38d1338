/** OGG files that lie. */
import { be, each, type HandMade, join, le, text, times, u8 } from "./hand-made.ts"

const crcTable = Uint32Array.from({ length: 256 }, (_, n) => {
  let crc = n << 24
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000_0000 ? (crc << 1) ^ 0x04c1_1db7 : crc << 1
  return crc >>> 0
})
const crcOf = (bytes: Uint8Array) =>
  bytes.reduce((crc, byte) => ((crc << 8) ^ (crcTable[((crc >>> 24) ^ byte) & 0xff] ?? 0)) >>> 0, 0)

interface Page {
  readonly serial?: number
  readonly number?: number
  readonly granule?: number | bigint
  /** 1: goes on; 2: the first; 4: the last. */
  readonly flags?: number
  readonly version?: number
}
/** One packet, of 64 KB at most. */
const page = (
  packet: Uint8Array,
  { serial = 1, number = 0, granule = 0, flags = 0, version = 0 }: Page = {},
) => {
  const segments = Buffer.alloc(Math.min(255, Math.floor(packet.length / 255) + 1), 255)
  segments[segments.length - 1] = packet.length % 255
  const all = join(
    text("OggS"),
    u8(version, flags),
    le(8, granule),
    le(4, serial),
    le(4, number),
    le(4, 0),
    u8(segments.length),
    segments,
    packet,
  )
  all.writeUInt32LE(crcOf(all), 22)
  return all
}

const opusHead = ({ channels = 1, skip = 312, rate = 48_000, gain = 0, family = 0, more = u8() } = {}) =>
  join(text("OpusHead"), u8(1, channels), le(2, skip), le(4, rate), le(2, gain), u8(family), more)
const comment = (magic: string, ...comments: ReadonlyArray<Uint8Array>) =>
  join(
    text(magic),
    le(4, 4),
    text("test"),
    le(4, comments.length),
    ...comments.map((each) => join(le(4, each.length), each)),
  )
/** 20 ms of silence, as libopus has it. */
const silent = u8(0x08, 0xff, 0xfe)
const opus = (head: Uint8Array, tags: Uint8Array, ...pages: ReadonlyArray<Uint8Array>) =>
  join(page(head, { flags: 2 }), page(tags, { number: 1 }), ...pages)
const tags = comment("OpusTags")
const sound = (granule: number | bigint = 960, flags = 4) => page(silent, { number: 2, granule, flags })

const vorbisHead = (channels: number, rate: number, blocks: number) =>
  join(text("\x01vorbis"), le(4, 0), u8(channels), le(4, rate), Buffer.alloc(12), u8(blocks, 1))

/** Codecs by how their first packets begin. */
const magics = [
  "\x01vorbis",
  "\x80theora",
  "Speex   ",
  "\x7fFLAC",
  "CELT    ",
  "OpusHead",
  "BBCD\0",
  "fishead\0",
  "fisbone\0",
  "\x01video\0\0\0",
  "\x01audio\0\0\0",
  "\x01text\0\0\0\0",
  "PCM     ",
  "OVP80",
  "CMML\0\0\0\0",
  "\x80kate\0\0\0",
  "\x8bJNG",
  "AnxData\0",
]

export const ogg: HandMade = {
  "ogg that is right": () => opus(opusHead(), tags, sound(960, 0), sound(1920)),
  ...each("ogg of", magics, (magic) =>
    opus(join(text(magic), Buffer.alloc(80, 1)), join(text(magic), Buffer.alloc(80, 2)), sound()),
  ),
  ...each("opus of channels", [0, 3, 9, 255], (channels) => opus(opusHead({ channels }), tags, sound())),
  ...each("opus of mapping", [1, 2, 3, 255], (family) =>
    opus(opusHead({ channels: 255, family, more: Buffer.alloc(257, 0xff) }), tags, sound()),
  ),
  ...each("opus that skips", [1, 65_535], (skip) => opus(opusHead({ skip }), tags, sound())),
  ...each("opus of gain", [0x7fff, 0x8000], (gain) => opus(opusHead({ gain }), tags, sound())),
  ...each("opus of rate", [0, 0xffff_ffff], (rate) => opus(opusHead({ rate }), tags, sound())),
  ...each("ogg that ends at", [0n, 1n, 2n ** 62n, 2n ** 63n, 2n ** 64n - 1n], (granule) =>
    opus(opusHead(), tags, sound(granule)),
  ),
  ...each("vorbis of channels", [0, 8, 255], (channels) =>
    opus(vorbisHead(channels, 44_100, 0xb8), comment("\x03vorbis"), sound()),
  ),
  ...each("vorbis of blocks", [0, 0x11, 0xff, 0x0f], (blocks) =>
    opus(vorbisHead(1, 44_100, blocks), comment("\x03vorbis"), sound()),
  ),
  "vorbis of rate 0": () => opus(vorbisHead(1, 0, 0xb8), comment("\x03vorbis"), sound()),
  "vorbis of noise to set up": () =>
    join(
      page(vorbisHead(1, 44_100, 0xb8), { flags: 2 }),
      page(comment("\x03vorbis"), { number: 1 }),
      page(join(text("\x05vorbis"), Buffer.alloc(4000, 0x5b)), { number: 2 }),
      sound(),
    ),
  "opus with 2^32 comments": () =>
    opus(opusHead(), join(text("OpusTags"), le(4, 0), le(4, 0xffff_ffff)), sound()),
  "opus with a comment of 2^32 bytes": () =>
    opus(opusHead(), join(text("OpusTags"), le(4, 0xffff_ffff), text("x")), sound()),
  "opus with a picture of 2^31 bytes": () => {
    const picture = join(
      be(4, 3),
      be(4, 9),
      text("image/png"),
      be(4, 0),
      Buffer.alloc(16),
      be(4, 0x7fff_ffff),
    )
    return opus(
      opusHead(),
      comment("OpusTags", text(`METADATA_BLOCK_PICTURE=${picture.toString("base64")}`)),
      sound(),
    )
  },
  "opus with a picture that is a link": ({ url }) => {
    const picture = join(
      be(4, 3),
      be(4, 3),
      text("-->"),
      be(4, 0),
      Buffer.alloc(16),
      be(4, url.length),
      text(url),
    )
    return opus(
      opusHead(),
      comment("OpusTags", text(`METADATA_BLOCK_PICTURE=${picture.toString("base64")}`)),
      sound(),
    )
  },
  "opus with 2,000 chapters": () =>
    opus(
      opusHead(),
      comment("OpusTags", ...Array.from({ length: 2000 }, (_, n) => text(`CHAPTER${n}=00:00:00.000`))),
      sound(),
    ),
  "ogg of 5,000 streams at once": () =>
    join(
      ...Array.from({ length: 5000 }, (_, serial) => page(opusHead(), { serial, flags: 2 })),
      page(tags, { number: 1 }),
      sound(),
    ),
  "ogg of 500 recordings in a row": () =>
    join(
      ...Array.from({ length: 500 }, (_, serial) =>
        join(
          page(opusHead(), { serial, flags: 2 }),
          page(tags, { serial, number: 1 }),
          page(silent, { serial, number: 2, granule: 960, flags: 4 }),
        ),
      ),
    ),
  "ogg of 100,000 empty pages": () =>
    opus(opusHead(), tags, times(100_000, page(u8()).subarray(0, 28)), sound()),
  "ogg whose pages are all its first": () => times(2000, page(opusHead(), { flags: 2 })),
  "ogg whose packet never ends": () =>
    opus(
      opusHead(),
      tags,
      ...Array.from({ length: 200 }, (_, n) => page(Buffer.alloc(254 * 255, 1), { number: n + 2, flags: 1 })),
    ),
  "ogg of a version to come": () => opus(opusHead(), tags, page(silent, { version: 255, granule: 960 })),
  "ogg with wrong sums": () => Buffer.from(opus(opusHead(), tags, sound())).fill(0, 22, 26),
  "ogg with a page in a page": () =>
    opus(opusHead(), tags, page(join(page(opusHead(), { serial: 2, flags: 2 }), sound()), { number: 2 })),
}
