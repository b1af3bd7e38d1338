import { Effect } from "effect"
import { NotAcceptable } from "./errors.ts"

/** What a turn can be rendered as, in the order of preference where the client has none. */
export const mediaTypes = [
  "audio/mpeg",
  "audio/wav",
  "audio/pcm",
  "application/json",
  "text/event-stream",
] as const
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

interface Choice {
  readonly type: MediaType
  readonly q: number
  /** 0: the type itself was named; 1: its family; 2: anything. */
  readonly vagueness: number
}

/** What the most exact range that a type falls into says of it; none where it falls into none. */
const choicesOf = (ranges: ReadonlyArray<Range>, type: MediaType): ReadonlyArray<Choice> =>
  [type, `${type.split("/")[0]}/*`, "*/*"]
    .flatMap((wanted, vagueness) =>
      ranges.filter((range) => range.type === wanted).map(({ q }) => ({ type, q, vagueness })),
    )
    .slice(0, 1)

/** The rendering that an Accept header asks for. */
export const negotiate = (header: string | null): Effect.Effect<MediaType, NotAcceptable> => {
  const ranges = parse(header ?? "*/*")
  if (ranges.length === 0) return Effect.succeed(mediaTypes[0])
  const [best] = mediaTypes
    .flatMap((type) => choicesOf(ranges, type))
    .filter(({ q }) => q > 0)
    // What is named was thought of: axios asks for "application/json, text/plain, */*" by itself.
    .toSorted((a, b) => b.q - a.q || a.vagueness - b.vagueness)
  return best === undefined
    ? Effect.fail(new NotAcceptable({ available: mediaTypes.join(", ") }))
    : Effect.succeed(best.type)
}
