/**
 * Bad files, each made again by its name and the seed:
 *
 *     bun test/support/corpus/corpus.ts 1 'broken/oggOpus/sizeThatLies/0' > bad.ogg
 */
import { type HandMade, type Lures, text } from "./hand-made.ts"
import { flac, mp3 } from "./hand-made-flac-mp3.ts"
import { foreign } from "./hand-made-foreign.ts"
import { mp4 } from "./hand-made-mp4.ts"
import { ogg } from "./hand-made-ogg.ts"
import { wav } from "./hand-made-wav.ts"
import { ebml } from "./hand-made-webm.ts"
import { type Mutation, mutations } from "./mutations.ts"
import { partsOf } from "./parts.ts"
import { randomOf } from "./random.ts"
import { seeds } from "./seeds.ts"

const handMade: HandMade = { ...wav, ...mp4, ...ebml, ...ogg, ...flac, ...mp3, ...foreign }
const seedNames = Object.keys(seeds)
const mutationNames = Object.keys(mutations) as ReadonlyArray<Mutation>

/** Of how many bytes: less than any header has. */
const tiny = Array.from({ length: 65 }, (_, bytes) => `tiny/${bytes}`)

/** The ways by turns, the recordings by turns, and all pairs before any comes again. */
function* broken() {
  for (let n = 0; ; n++) {
    const round = Math.floor(n / seedNames.length)
    const seed = seedNames[n % seedNames.length]
    const mutation = mutationNames[(n + round) % mutationNames.length]
    yield `broken/${seed}/${mutation}/${Math.floor(round / mutationNames.length)}`
  }
}

/**
 * The names of so many files: all that are made by hand, then broken recordings. Where there is no room for all, a
 * quarter are broken recordings, and the rest is spread evenly over those made by hand, shifted by the seed.
 */
export const corpusOf = (files: number, seed: number): ReadonlyArray<string> => {
  const byHand = [...tiny, ...Object.keys(handMade).map((name) => `by hand/${name}`)]
  const some = Math.min(byHand.length, Math.ceil(files * 0.75))
  const picked = files < byHand.length ? spread(byHand, some, seed) : byHand
  return [...picked, ...broken().take(files - picked.length)]
}

const spread = (names: ReadonlyArray<string>, count: number, seed: number): ReadonlyArray<string> => {
  const step = names.length / count
  const shift = seed % Math.ceil(step)
  const chosen = new Set(
    Array.from({ length: count }, (_, n) => (Math.floor(n * step) + shift) % names.length),
  )
  return names.filter((_, n) => chosen.has(n))
}

/** The file of that name. */
export const makeFile = async (seed: number, name: string, lures: Lures): Promise<Uint8Array> => {
  const [kind, ...rest] = name.split("/")
  const random = randomOf(`${seed}/${name}`)
  const recordingOf = async (which: string) => Buffer.from((await seeds[which]?.()) ?? [])
  if (kind === "tiny") {
    return (await recordingOf(random.pick(seedNames))).subarray(0, Number(rest[0]))
  }
  if (kind === "by hand") return (await handMade[rest.join("/")]?.(lures)) ?? text("")
  const [from = "", how = ""] = rest
  const mutate = mutations[how as Mutation]
  const bytes = await recordingOf(from)
  const other = await recordingOf(random.pick(seedNames))
  return mutate({ bytes, parts: partsOf(bytes), other, random })
}

if (import.meta.main) {
  const [seed = "", name = ""] = process.argv.slice(2)
  const lures = { url: "http://127.0.0.1:9", file: "/etc/hostname" }
  await Bun.write(Bun.stdout, await makeFile(Number(seed), name, lures))
}
