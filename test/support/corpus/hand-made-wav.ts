/** WAV files that lie. */
import { gzipSync } from "node:zlib"
import { speechLike, wavOf } from "../wav.ts"
import { be, each, type HandMade, join, le, text, times, u8 } from "./hand-made.ts"

const chunk = (id: string, content: Uint8Array, size: number = content.length) =>
  join(text(id), le(4, size), content, Buffer.alloc(content.length % 2))
const riff = (...chunks: ReadonlyArray<Uint8Array>) => {
  const content = join(text("WAVE"), ...chunks)
  return join(text("RIFF"), le(4, content.length), content)
}

interface Format {
  readonly tag?: number
  readonly channels?: number
  readonly rate?: number
  readonly block?: number
  readonly bits?: number
  readonly more?: Uint8Array
}
const fmt = ({ tag = 1, channels = 1, rate = 44_100, block = 2, bits = 16, more = u8() }: Format = {}) =>
  chunk(
    "fmt ",
    join(
      le(2, tag),
      le(2, channels),
      le(4, rate),
      le(4, (rate * block) % 2 ** 32),
      le(2, block),
      le(2, bits),
      more,
    ),
  )
const sound = Buffer.from(wavOf(speechLike(0.5))).subarray(44)
const data = chunk("data", sound)
const ofFormat = (format: Format) => riff(fmt(format), data)

const tags = [
  0, 2, 3, 6, 7, 0x10, 0x11, 0x15, 0x20, 0x22, 0x31, 0x40, 0x42, 0x45, 0x50, 0x55, 0x61, 0x62, 0x64, 0x69,
  0x75, 0x92, 0xff, 0x130, 0x160, 0x161, 0x162, 0x163, 0x181, 0x200, 0x270, 0x401, 0x674f, 0x1500, 0x2000,
  0x2001, 0x2048, 0x5346, 0x566f, 0x706d, 0x7a21, 0xa106, 0xa10c, 0xa122, 0xf1ac, 0xfffe, 0xffff,
]

const ds64 = (sizes: bigint, table: number) =>
  chunk("ds64", join(le(8, sizes), le(8, sizes), le(8, sizes), le(4, table)))
const rf64 = (...chunks: ReadonlyArray<Uint8Array>) =>
  join(text("RF64"), le(4, 0xffff_ffff), text("WAVE"), ...chunks)
const last = chunk("data", sound, 0xffff_ffff)

export const wav: HandMade = {
  ...each("wav of format", tags, (tag) => ofFormat({ tag, more: le(2, 0) })),
  ...each("wav of channels", [0, 9, 255, 65_535], (channels) => ofFormat({ channels })),
  ...each("wav of channels and their block", [64, 512, 32_767], (channels) =>
    ofFormat({ channels, block: channels * 2 }),
  ),
  ...each("wav of rate", [0, 1, 7, 0x7fff_ffff, 0xffff_ffff], (rate) => ofFormat({ rate })),
  ...each("wav of block", [0, 1, 3, 65_535], (block) => ofFormat({ block })),
  ...each("wav of bits", [0, 1, 7, 64, 65_535], (bits) => ofFormat({ bits })),
  ...each("adpcm of block", [0, 1, 2, 65_535], (block) =>
    ofFormat({ tag: 2, block, bits: 4, more: join(le(2, 32), le(2, 0xffff), le(2, 7), Buffer.alloc(28)) }),
  ),
  ...each("wav whose samples have size", [0, 1, 3, 0x7fff_ffff, 0xffff_fffe, 0xffff_ffff], (size) =>
    riff(fmt(), chunk("data", sound, size)),
  ),
  ...each("wav whose format has size", [0, 1, 14, 15, 17, 40, 0xffff_ffff], (size) =>
    join(text("RIFF"), le(4, 1e6), text("WAVE"), text("fmt "), le(4, size), Buffer.alloc(60), data),
  ),
  ...each("rf64 of size", [0n, 1n, 2n ** 31n, 2n ** 63n, 2n ** 64n - 1n], (size) =>
    rf64(ds64(size, 0), fmt(), last),
  ),
  "rf64 with a table of 2^32 entries": () => rf64(ds64(1000n, 0xffff_ffff), fmt(), last),
  "rf64 without its sizes": () => rf64(fmt(), last),
  bw64: () => join(text("BW64"), rf64(ds64(1000n, 0), fmt(), last).subarray(4)),
  w64: () => join(text("riff"), Buffer.from("2e91cf11a5d628db04c10000", "hex"), data),
  "wav with 10,000 notes": () => riff(times(10_000, chunk("LIST", text("INFOIART\0\0\0\0"))), fmt(), data),
  "wav with 100,000 empty chunks": () => riff(fmt(), times(100_000, chunk("JUNK", u8())), data),
  "wav with 1,000 formats": () => riff(times(1000, fmt({ rate: 8000 })), data),
  "wav with 1,000 times samples": () => riff(fmt(), times(1000, data.subarray(0, 108))),
  "wav whose samples come first": () => riff(data, fmt()),
  "wav whose chunk ends before it begins": () => riff(fmt(), chunk("LIST", u8(1, 2), 0xffff_fff8), data),
  "wav whose header is past 64 KB": () => riff(chunk("JUNK", Buffer.alloc(70_000)), fmt(), data),
  "wav with a picture": () =>
    riff(fmt(), chunk("id3 ", join(text("ID3\x03\0\0\0\0\x0f\x76APIC"), be(4, 0x7fff_ffff))), data),
  "wav that is a page": () =>
    riff(chunk("JUNK", text("<html><script>alert(1)</script></html>")), fmt(), data),
  "wav that is a page behind": () => join(ofFormat({}), text("<html><script>alert(1)</script></html>")),
  "wav that is an archive behind": () => join(ofFormat({}), text("PK\x05\x06"), Buffer.alloc(18)),
  "wav that names itself a link": ({ url }) =>
    riff(chunk("LIST", text(`INFOICMT${url}/`.padEnd(64, "x"))), fmt(), data),
  "wav of one sample": () => riff(fmt({ rate: 16_000 }), chunk("data", u8(1, 2))),
  "wav of half a sample": () => riff(fmt({ rate: 16_000 }), chunk("data", u8(1))),
  "wav that is compressed": () => gzipSync(ofFormat({})),
  "wav of an exif": () => riff(chunk("exif", Buffer.alloc(1e5)), fmt(), data),
  "wav of extensible nonsense": () =>
    ofFormat({
      tag: 0xfffe,
      more: join(le(2, 22), le(2, 65_535), le(4, 0xffff_ffff), Buffer.alloc(16, 0xff)),
    }),
}
