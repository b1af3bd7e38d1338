/** FLAC and MP3 files that lie, and what stands in their tags. */
import { deflateSync } from "node:zlib"
import { be, each, type HandMade, join, le, text, times, u8 } from "./hand-made.ts"

const block = (kind: number, content: Uint8Array, size = content.length) =>
  join(u8(kind), be(3, size), content)
const last = 0x80
/** Rate in 20 bits, channels - 1 in 3, bits - 1 in 5, samples in 36. */
const streamInfo = ({
  rate = 16_000,
  channels = 1,
  bits = 16,
  samples = 4096,
  least = 4096,
  most = 4096,
} = {}) =>
  join(
    be(2, least),
    be(2, most),
    be(6, 0),
    be(
      8,
      (BigInt(rate) << 44n) | (BigInt(channels - 1) << 41n) | (BigInt(bits - 1) << 36n) | BigInt(samples),
    ),
    Buffer.alloc(16),
  )
const crc = (bits: number, polynomial: number, bytes: Uint8Array) =>
  bytes.reduce((sum, byte) => {
    let next = sum ^ (byte << (bits - 8))
    for (let n = 0; n < 8; n++) next = (next << 1) ^ (next & (1 << (bits - 1)) ? polynomial : 0)
    return next & (2 ** bits - 1)
  }, 0)
/** 4096 samples of one value, at 16 kHz, mono, in 16 bits. */
const frameOf = (number: number) => {
  const head = join(Buffer.from("fff8c508", "hex"), u8(number))
  const all = join(head, u8(crc(8, 0x07, head)), u8(0), be(2, 4096))
  return join(all, be(2, crc(16, 0x8005, all)))
}
const sound = join(...Array.from({ length: 20 }, (_, number) => frameOf(number)))
const flacOf = (...blocks: ReadonlyArray<Uint8Array>) =>
  join(text("fLaC"), ...blocks, block(last | 1, Buffer.alloc(8)), sound)
const info = block(0, streamInfo())
const picture = (type: string, content: Uint8Array, { width = 1, height = 1, size = content.length } = {}) =>
  block(
    6,
    join(
      be(4, 3),
      be(4, type.length),
      text(type),
      be(4, 0),
      be(4, width),
      be(4, height),
      be(4, 24),
      be(4, 0),
      be(4, size),
      content,
    ),
  )

export const flac: HandMade = {
  "flac that is right": () => flacOf(info),
  ...each("flac of rate", [0, 1, 655_350, 0xf_ffff], (rate) => flacOf(block(0, streamInfo({ rate })))),
  ...each("flac of channels", [2, 8], (channels) => flacOf(block(0, streamInfo({ channels })))),
  ...each("flac of bits", [1, 4, 32], (bits) => flacOf(block(0, streamInfo({ bits })))),
  ...each("flac of samples", [0, 2 ** 36 - 1], (samples) => flacOf(block(0, streamInfo({ samples })))),
  ...each("flac of frames of", [0, 1, 15, 65_535], (most) =>
    flacOf(block(0, streamInfo({ least: most, most }))),
  ),
  ...each("flac whose description has size", [0, 33, 35, 0xff_ffff], (size) =>
    flacOf(block(0, streamInfo(), size)),
  ),
  "flac without a description": () => flacOf(),
  "flac with 1,000 descriptions": () => flacOf(times(1000, block(0, streamInfo({ rate: 8000 }))), info),
  "flac with 100,000 empty blocks": () => flacOf(info, times(100_000, block(1, u8()))),
  "flac whose blocks never end": () =>
    join(text("fLaC"), info, times(4, block(1, Buffer.alloc(1e5), 0xff_ffff))),
  "flac with 2^32 comments": () => flacOf(info, block(4, join(le(4, 0), le(4, 0xffff_ffff)))),
  "flac with a comment of 2^32 bytes": () =>
    flacOf(info, block(4, join(le(4, 0xffff_ffff), Buffer.alloc(50)))),
  "flac with a cue sheet of 255 tracks": () =>
    flacOf(info, block(5, join(Buffer.alloc(395), u8(255), Buffer.alloc(300, 0xff)))),
  "flac with a table of nonsense": () => flacOf(info, block(3, Buffer.alloc(18_000, 0xee))),
  "flac of blocks unheard of": () =>
    flacOf(info, block(126, Buffer.alloc(100)), block(127, Buffer.alloc(100))),
  ...each("flac with a picture of size", [0, 100, 0x7fff_ffff, 0xffff_ffff], (size) =>
    flacOf(info, picture("image/png", text("PNG"), { size })),
  ),
  ...each("flac with a picture of so many pixels a side", [0, 30_000, 0xffff_ffff], (side) =>
    flacOf(info, picture("image/jpeg", Buffer.alloc(500), { width: side, height: side })),
  ),
  "flac with a picture that is a link": ({ url }) => flacOf(info, picture("-->", text(`${url}/cover.png`))),
  "flac with a picture that is a file": ({ file }) => flacOf(info, picture("-->", text(`file://${file}`))),
  "flac with 1,000 pictures": () =>
    flacOf(info, times(1000, picture("image/gif", text("GIF89a\x01\0\x01\0")))),
  "flac with a picture of type unheard of": () => flacOf(info, picture("x".repeat(5000), text("?"))),
}

const syncSafe = (size: number) => u8((size >> 21) & 127, (size >> 14) & 127, (size >> 7) & 127, size & 127)
const tag = (content: Uint8Array, { version = 4, flags = 0, size = content.length } = {}) =>
  join(text("ID3"), u8(version, 0, flags), syncSafe(size), content)
const id3 = (id: string, content: Uint8Array, { size = content.length, flags = 0 } = {}) =>
  join(text(id), syncSafe(size), be(2, flags), content)
/** MPEG 1 layer III, 32 kbit/s, 48 kHz, mono: 96 bytes, in which nothing is said. */
const silence = join(u8(0xff, 0xfb, 0x14, 0xc0), Buffer.alloc(92))
const frames = times(20, silence)
const lame = (kind: string, count: number) =>
  join(
    u8(0xff, 0xfb, 0x14, 0xc0),
    Buffer.alloc(17),
    text(kind),
    be(4, 0x0f),
    be(4, count),
    be(4, count),
    Buffer.alloc(59, 0x40),
  )
const apic = (type: string, content: Uint8Array) =>
  id3("APIC", join(u8(0), text(`${type}\0`), u8(3, 0), content))
/** Of 44.1, 48, 32 kHz and their halves and quarters: a frame each, as long as its bit rate has it. */
const everyRate = [
  [0xfb, 0x10, 104],
  [0xfb, 0x14, 96],
  [0xfb, 0x18, 144],
  [0xf3, 0x10, 26],
  [0xf3, 0x14, 24],
  [0xe3, 0x10, 52],
].map(([version = 0, rate = 0, length = 4]) => join(u8(0xff, version, rate, 0xc0), Buffer.alloc(length - 4)))

export const mp3: HandMade = {
  "mp3 that is right": () => frames,
  ...each("mp3 whose tag has size", [0, 1, 100, 0x0fff_ffff], (size) =>
    join(tag(Buffer.alloc(50), { size }), frames),
  ),
  ...each("mp3 whose tag has version", [0, 1, 2, 3, 5, 255], (version) =>
    join(tag(apic("image/png", Buffer.alloc(60)), { version }), frames),
  ),
  ...each("mp3 whose tag has flags", [0x80, 0x40, 0x20, 0x10, 0xff], (flags) =>
    join(tag(apic("image/png", Buffer.alloc(60, 0xff)), { flags }), frames),
  ),
  ...each("mp3 whose tag's frame has flags", [1, 2, 4, 8, 0x0f, 0xffff], (flags) =>
    join(tag(id3("TIT2", text("\x03title"), { flags })), frames),
  ),
  ...each("mp3 whose tag's frame has size", [0, 1, 0x0fff_ffff], (size) =>
    join(tag(id3("APIC", Buffer.alloc(60), { size })), frames),
  ),
  "mp3 of 1,000 tags": () => join(times(1000, tag(id3("TIT2", text("\x03title")))), frames),
  "mp3 of tags in tags": () => join(tag(tag(tag(id3("TIT2", text("\x03t"))))), frames),
  "mp3 whose title is compressed a thousandfold": () =>
    join(
      tag(id3("TXXX", join(be(4, 50_000_000), deflateSync(Buffer.alloc(50_000_000))), { flags: 0x09 })),
      frames,
    ),
  "mp3 with a cover that is a link": ({ url }) => join(tag(apic("-->", text(`${url}/cover.png`))), frames),
  "mp3 with a cover that is a file": ({ file }) => join(tag(apic("-->", text(`file://${file}`))), frames),
  "mp3 with links": ({ url }) =>
    join(
      tag(
        join(
          ...["WOAF", "WOAS", "WPUB", "WCOM"].map((id) => id3(id, text(url))),
          id3("WXXX", text(`\0\0${url}`)),
          id3("LINK", text(`APIC${url}\0`)),
        ),
      ),
      frames,
    ),
  "mp3 with 1,000 covers": () => join(tag(times(1000, apic("image/jpeg", Buffer.alloc(300, 0xd8)))), frames),
  "mp3 with a file within": ({ file }) =>
    join(tag(id3("GEOB", text(`\0text/html\0${file}\0\0<script>`))), frames),
  "mp3 with 1,000 chapters in each other": () =>
    join(
      tag(
        times(
          1000,
          id3(
            "CHAP",
            join(
              text("a\0"),
              be(4, 0),
              be(4, 0xffff_ffff),
              be(8, 0),
              id3("CTOC", text("a\0"), { size: 5000 }),
            ),
          ),
        ),
      ),
      frames,
    ),
  "mp3 with 100,000 private notes": () => join(tag(times(100_000, id3("PRIV", u8(0)))), frames),
  ...each("mp3 whose Xing frame counts", [0, 1, 0x7fff_ffff, 0xffff_ffff], (count) =>
    join(lame("Xing", count), frames),
  ),
  ...each("mp3 whose Info frame counts", [0, 0xffff_ffff], (count) => join(lame("Info", count), frames)),
  "mp3 of every rate in turn": () => times(500, join(...everyRate)),
  "mp3 of every rate at random places": () =>
    join(...everyRate.map((each, n) => join(each, Buffer.alloc(n * 7, 0xff)))),
  "mp3 of frames that borrow what is not there": () => times(200, Buffer.from(silence).fill(0xff, 4, 8)),
  "mp3 of 0xff": () => Buffer.alloc(1024 ** 2, 0xff),
  "mp3 with 2 MB between its frames": () => join(frames, Buffer.alloc(2 * 1024 ** 2), frames),
  "mp3 with an APE tag": () =>
    join(
      frames,
      text("APETAGEX"),
      le(4, 2000),
      le(4, 0xffff_ffff),
      le(4, 0xffff_ffff),
      Buffer.alloc(12),
      Buffer.alloc(100),
    ),
  "mp3 with a tag behind": () => join(frames, text("TAG"), Buffer.alloc(125, 0xff)),
  "mp3 that is an archive behind": () =>
    join(frames, text("PK\x03\x04"), Buffer.alloc(200), text("PK\x05\x06"), Buffer.alloc(18)),
  "mp3 that is a page behind": () => join(frames, text("<html><script>alert(1)</script>")),
}
