import { Effect } from "effect"
import { NotAcceptable } from "./errors.ts"

/** The media types of a turn's response, in the order of preference for a client without one. */
export const mediaTypes = [
  "audio/mpeg",
  "audio/wav",
  "audio/pcm",
  "application/json",
  "text/event-stream",
] as const
export type MediaType = (typeof mediaTypes)[number]

/** Other names of these types, from before their registration and from operating systems. */
const synonyms: ReadonlyMap<string, MediaType> = new Map([
  ...["mp3", "x-mp3", "mpeg3", "x-mpeg3", "x-mpeg-3", "x-mpeg", "mpg", "x-mpg", "mpa"].map(
    (name) => [`audio/${name}`, "audio/mpeg"] as const,
  ),
  ...["x-wav", "wave", "x-wave", "vnd.wave", "x-pn-wav"].map(
    (name) => [`audio/${name}`, "audio/wav"] as const,
  ),
  ["audio/x-pcm", "audio/pcm"] as const,
])

interface Range {
  readonly type: string
  readonly q: number
}

/** The ranges of a header such as "audio/*;q=0.5, application/json". A malformed q counts as 1, as in browsers. */
const parse = (header: string): ReadonlyArray<Range> =>
  header
    .toLowerCase()
    .split(",")
    .map((part) => {
      const [type = "", ...parameters] = part.split(";").map((each) => each.trim())
      const q = Number.parseFloat(parameters.find((each) => each.startsWith("q="))?.slice(2) ?? "1")
      return { type: synonyms.get(type) ?? type, q: Number.isNaN(q) ? 1 : Math.min(1, Math.max(0, q)) }
    })
    .filter(({ type }) => type !== "")

/** The most specific range that the type matches. `wildcards`: 0 in audio/mpeg, 1 in audio/*, 2 in *\/*. */
const matchOf = (ranges: ReadonlyArray<Range>, type: MediaType) =>
  [type, `${type.split("/")[0]}/*`, "*/*"]
    .flatMap((wanted, wildcards) =>
      ranges.filter((range) => range.type === wanted).map(({ q }) => ({ type, q, wildcards })),
    )
    // Of two names of one type, either will do.
    .toSorted((a, b) => a.wildcards - b.wildcards || b.q - a.q)
    .slice(0, 1)

/** Selects the media type that an Accept header prefers. */
export const negotiate = (header: string | null): Effect.Effect<MediaType, NotAcceptable> => {
  const ranges = parse(header ?? "*/*")
  if (ranges.length === 0) return Effect.succeed(mediaTypes[0])
  const [best] = mediaTypes
    .flatMap((type) => matchOf(ranges, type))
    .filter(({ q }) => q > 0)
    // At equal q a named type wins: axios sends "application/json, text/plain, */*" and expects JSON.
    .toSorted((a, b) => b.q - a.q || a.wildcards - b.wildcards)
  return best === undefined
    ? Effect.fail(new NotAcceptable({ available: mediaTypes.join(", ") }))
    : Effect.succeed(best.type)
}
