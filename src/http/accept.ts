import { Effect } from "effect"
import { NotAcceptable } from "./errors.ts"

/** What a turn can be rendered as, in the order of preference where the client has none. */
export const mediaTypes = ["audio/mpeg", "audio/wav", "audio/pcm", "application/json"] as const
export type MediaType = (typeof mediaTypes)[number]

interface Range {
  readonly type: string
  readonly q: number
}

/** "audio/*;q=0.5, application/json" as its parts; a q that is no number counts as 1, as browsers do it. */
const parse = (header: string): ReadonlyArray<Range> =>
  header
    .toLowerCase()
    .split(",")
    .map((part) => {
      const [type = "", ...parameters] = part.split(";").map((each) => each.trim())
      const q = Number.parseFloat(parameters.find((each) => each.startsWith("q="))?.slice(2) ?? "1")
      return { type, q: Number.isNaN(q) ? 1 : Math.min(1, Math.max(0, q)) }
    })
    .filter(({ type }) => type !== "")

/** The q of the most exact range that a type falls into; 0 where it falls into none. */
const quality = (ranges: ReadonlyArray<Range>, type: MediaType) =>
  [type, `${type.split("/")[0]}/*`, "*/*"]
    .map((wanted) => ranges.find((range) => range.type === wanted))
    .find((range) => range !== undefined)?.q ?? 0

/** The rendering that an Accept header asks for. */
export const negotiate = (header: string | null): Effect.Effect<MediaType, NotAcceptable> => {
  const ranges = parse(header ?? "*/*")
  if (ranges.length === 0) return Effect.succeed(mediaTypes[0])
  const [best] = mediaTypes
    .map((type) => ({ type, q: quality(ranges, type) }))
    .filter(({ q }) => q > 0)
    .toSorted((a, b) => b.q - a.q)
  return best === undefined
    ? Effect.fail(new NotAcceptable({ available: mediaTypes.join(", ") }))
    : Effect.succeed(best.type)
}
