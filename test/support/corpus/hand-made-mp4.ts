/** MP4 files that lie, refer to others, or have no end. */
import { deflateSync } from "node:zlib"
import { be, each, type HandMade, join, type Lures, le, nested, text, times, u8 } from "./hand-made.ts"

const box = (kind: string, ...content: ReadonlyArray<Uint8Array>) => {
  const all = join(...content)
  return join(be(4, all.length + 8), text(kind), all)
}
const full = (kind: string, ...content: ReadonlyArray<Uint8Array>) => box(kind, be(4, 0), ...content)
const ftyp = box("ftyp", text("M4A "), be(4, 0), text("isomM4A "))

interface Track {
  readonly scale?: number
  readonly duration?: number
  readonly entry?: Buffer
  readonly references?: Buffer
  readonly tables?: Buffer
  readonly edits?: Buffer
}
const sowt = (channels = 1, rate = 16_000) =>
  box(
    "sowt",
    Buffer.alloc(6),
    be(2, 1),
    Buffer.alloc(8),
    be(2, channels),
    be(2, 16),
    be(4, 0),
    be(2, rate),
    be(2, 0),
  )
const bytes = 8000
/** 4000 samples, each a chunk of its own in nothing but the tables. */
const tables = (samples = bytes / 2, at = 0, delta = 1) =>
  join(
    full("stts", be(4, 1), be(4, samples), be(4, delta)),
    full("stsc", be(4, 1), be(4, 1), be(4, samples), be(4, 1)),
    full("stsz", be(4, 2), be(4, samples)),
    full("stco", be(4, 1), be(4, at)),
  )
const trak = ({
  scale = 16_000,
  duration = 4000,
  entry = sowt(),
  references = full("dref", be(4, 1), box("url ", be(4, 1))),
  tables: stbl = tables(),
  edits = Buffer.alloc(0),
}: Track = {}) =>
  box(
    "trak",
    full("tkhd", be(4, 0), be(4, 0), be(4, 1), be(4, 0), be(4, duration), Buffer.alloc(60)),
    edits,
    box(
      "mdia",
      full("mdhd", be(4, 0), be(4, 0), be(4, scale), be(4, duration), be(4, 0)),
      full("hdlr", be(4, 0), text("soun"), Buffer.alloc(13)),
      box(
        "minf",
        full("smhd", be(4, 0)),
        box("dinf", references),
        box("stbl", full("stsd", be(4, 1), entry), stbl),
      ),
    ),
  )
const mvhd = (scale = 1000) => full("mvhd", be(4, 0), be(4, 0), be(4, scale), be(4, 250), Buffer.alloc(80))
const sound = box("mdat", Buffer.alloc(bytes, 0x11))
/** Its sound comes first, so that it is read from a file, which could be next to others. */
const searched = (...moov: ReadonlyArray<Uint8Array>) => join(ftyp, sound, box("moov", mvhd(), ...moov))
const streamed = (...moov: ReadonlyArray<Uint8Array>) => join(ftyp, box("moov", mvhd(), ...moov), sound)

const references = ({ url, file }: Lures): Readonly<Record<string, Buffer>> => {
  const even = (value: string) => join(be(2, value.length), text(value), Buffer.alloc(value.length % 2))
  const alias = (path: string) =>
    join(
      Buffer.alloc(10),
      u8(4),
      text("disk".padEnd(27, "\0")),
      Buffer.alloc(12),
      u8(10),
      text("canary.wav".padEnd(63, "\0")),
      Buffer.alloc(16),
      be(2, 1),
      be(2, 1),
      Buffer.alloc(16),
      // The whole path, and the folder's name.
      be(2, 2),
      even(path),
      be(2, 0),
      even("canary.wav"),
      be(2, 0xffff),
    )
  return {
    "a file's URL": full("dref", be(4, 1), full("url ", text(`file://${file}\0`))),
    "a web address": full("dref", be(4, 1), full("url ", text(`${url}/a.mp4\0`))),
    "a name": full("dref", be(4, 1), full("urn ", text(`${url}\0${file}\0`))),
    "an alias": full("dref", be(4, 1), full("alis", alias(file))),
    "10,000 aliases": full("dref", be(4, 10_000), times(10_000, full("alis", text(file)))),
    "2^32 of them": full("dref", be(4, 0xffff_ffff), full("url ", text(`${url}\0`))),
  }
}
const named = references({ url: "", file: "" })

const covr = (type: number, picture: Uint8Array) =>
  box(
    "udta",
    full(
      "meta",
      full("hdlr", be(4, 0), text("mdir"), Buffer.alloc(13)),
      box("ilst", box("covr", box("data", be(4, type), be(4, 0), picture))),
    ),
  )
/** A PNG's beginning, of so many pixels. */
const png = (width: number, height: number) =>
  join(
    Buffer.from("89504e470d0a1a0a0000000d49484452", "hex"),
    be(4, width),
    be(4, height),
    u8(8, 2, 0, 0, 0),
    be(4, 0),
  )
const compressed = (moov: Buffer, claimed = moov.length) =>
  join(
    ftyp,
    box("moov", box("cmov", box("dcom", text("zlib")), box("cmvd", be(4, claimed), deflateSync(moov)))),
    sound,
  )

const fragment = (flags: number, ...run: ReadonlyArray<Uint8Array>) =>
  box(
    "moof",
    full("mfhd", be(4, 1)),
    box("traf", box("tfhd", be(4, 0x020000), be(4, 1)), box("trun", be(4, flags), ...run)),
  )
const fragmented = (...fragments: ReadonlyArray<Uint8Array>) =>
  join(
    ftyp,
    box(
      "moov",
      mvhd(),
      trak({ tables: tables(0) }),
      box("mvex", full("trex", be(4, 1), be(4, 1), be(4, 1), be(4, 2), be(4, 0))),
    ),
    ...fragments,
    sound,
  )

export const mp4: HandMade = {
  "mp4 that is right, searched": () => searched(trak({ tables: tables(bytes / 2, ftyp.length + 8) })),
  "mp4 that is right, streamed": () => streamed(trak({ tables: tables(bytes / 2, 700) })),
  ...Object.fromEntries(
    Object.keys(named).flatMap((what) =>
      [searched, streamed].map((made, n) => [
        `mp4 that refers to ${what} ${n}`,
        (lures: Lures) => made(trak({ references: references(lures)[what] ?? Buffer.alloc(0) })),
      ]),
    ),
  ),
  "mp4 that refers to another film": ({ url }) =>
    join(
      ftyp,
      box(
        "moov",
        box(
          "rmra",
          box("rmda", box("rdrf", be(4, 0), text("url "), be(4, url.length + 1), text(`${url}\0`))),
        ),
      ),
      sound,
    ),
  ...each("mp4 of boxes in boxes", [100, 10_000, 60_000], (depth) =>
    join(
      ftyp,
      nested(depth, (inner) =>
        join(be(4, inner.length + 8), text("moov"), inner.length > 1e5 ? Buffer.alloc(0) : inner),
      ),
    ),
  ),
  ...each("mp4 whose box has size", [0, 1, 2, 7, 0x7fff_ffff, 0xffff_ffff], (size) =>
    join(ftyp, be(4, size), text("moov"), be(8, 2n ** 63n), trak()),
  ),
  ...each("mp4 whose box has a long size of", [0n, 15n, 2n ** 62n, 2n ** 64n - 1n], (size) =>
    join(ftyp, be(4, 1), text("moov"), be(8, size), trak()),
  ),
  ...each("mp4 of scale", [0, 1, 0x7fff_ffff, 0xffff_ffff], (scale) => streamed(trak({ scale }))),
  ...each("mp4 of so many samples", [0, 0x0fff_ffff, 0x7fff_ffff, 0xffff_ffff], (samples) =>
    streamed(trak({ tables: tables(samples) })),
  ),
  ...each("mp4 whose samples last", [0, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff], (delta) =>
    streamed(trak({ tables: tables(4000, 700, delta) })),
  ),
  ...each("mp4 of channels", [0, 64, 65_535], (channels) => streamed(trak({ entry: sowt(channels) }))),
  ...each("mp4 of rate", [0, 1, 65_535], (rate) => streamed(trak({ entry: sowt(1, rate) }))),
  ...each(
    "mp4 of codec",
    [
      "mp4a",
      "alac",
      "samr",
      "sawb",
      ".mp3",
      "Opus",
      "fLaC",
      "ac-3",
      "ec-3",
      "QDM2",
      "QDMC",
      "MAC3",
      "ima4",
      "enca",
      "drms",
      "lpcm",
      "raw ",
      "twos",
      "fl64",
      "text",
      "tx3g",
      "mp4v",
      "tmcd",
      "rtp ",
      "XXXX",
    ],
    (codec) =>
      streamed(
        trak({ entry: join(be(4, 40), text(codec), sowt().subarray(8), box("esds", be(4, 0)), box("sinf")) }),
      ),
  ),
  "mp4 of 5,000 tracks": () => streamed(times(5000, trak())),
  "mp4 of 20,000 descriptions": () => streamed(trak({ entry: times(20_000, sowt()) })),
  "mp4 of 2^31 edits": () =>
    streamed(trak({ edits: box("edts", full("elst", be(4, 0x7fff_ffff), Buffer.alloc(1200))) })),
  "mp4 of edits far apart": () =>
    streamed(
      trak({
        edits: box(
          "edts",
          full(
            "elst",
            be(4, 3),
            be(4, 0x7fff_ffff),
            be(4, -1),
            be(4, 65_536),
            be(4, 1),
            be(4, 0x7fff_0000),
            be(4, 1),
            be(4, 9),
            be(4, 0),
            be(4, 0),
          ),
        ),
      }),
    ),
  "mp4 of 100,000 chapters": () =>
    streamed(trak(), box("udta", full("chpl", be(4, 0), u8(255), times(100_000, join(be(8, 1), u8(1, 65)))))),
  "mp4 that is its own chapter": () =>
    streamed(join(trak(), box("trak", box("tref", box("chap", be(4, 1)))))),
  ...each("mp4 with a cover of so many pixels a side", [1, 30_000, 0x7fff_ffff], (side) =>
    streamed(trak(), covr(14, png(side, side))),
  ),
  "mp4 with a cover that is a link": ({ url }) => streamed(trak(), covr(13, text(url))),
  "mp4 with a cover that is a picture of a page": () =>
    streamed(trak(), covr(13, text("<svg xmlns='http://www.w3.org/2000/svg'/>"))),
  "mp4 whose index is compressed": () => compressed(box("moov", mvhd(), trak())),
  "mp4 whose index is compressed a thousandfold": () =>
    compressed(box("moov", mvhd(), box("free", Buffer.alloc(100 * 1024 ** 2)))),
  ...each("mp4 whose compressed index claims", [0, 0x3fff_ffff, 0x7fff_ffff, 0xffff_ffff], (claimed) =>
    compressed(box("moov", mvhd(), trak()), claimed),
  ),
  ...each("mp4 whose fragment has so many samples", [0, 100, 0x7fff_ffff, 0xffff_ffff], (count) =>
    fragmented(fragment(1, be(4, count), be(4, 100))),
  ),
  "mp4 of 5,000 fragments": () => fragmented(times(5000, fragment(0x201, be(4, 1), be(4, 100), be(4, 2)))),
  "mp4 whose fragments lie before it": () => fragmented(fragment(1, be(4, 10), be(4, -2_000_000))),
  "mp4 of an index that is an index": () =>
    join(
      ftyp,
      full("sidx", be(4, 1), be(4, 1), be(4, 0), be(4, 0), be(2, 0), be(2, 65_535), Buffer.alloc(600)),
      sound,
    ),
  "mp4 that is encrypted": () => streamed(trak(), full("pssh", Buffer.alloc(16), be(4, 0x7fff_ffff))),
  "mp4 without a kind": () => join(box("ftyp"), box("moov", mvhd(), trak()), sound),
  "mp4 with little-endian sizes": () => join(ftyp, le(4, 100), text("moov"), trak(), sound),
}
