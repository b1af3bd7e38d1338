import { Option, Predicate } from "effect"
import { parseJson } from "../json.ts"
import { makeEventData } from "./event-data.ts"

/** Where servers put the object with the text: Deepgram in `results.channels[0].alternatives[0]`. */
const ENVELOPES = ["result", "results", "data", "output", "channels", "alternatives"]

/** The objects that may have the text, outermost first. Of several channels or alternatives the first one. */
export function* candidatesIn(body: unknown): Generator<Readonly<Record<string, unknown>>> {
  if (Array.isArray(body)) return yield* candidatesIn(body[0])
  if (!Predicate.isRecord(body)) return
  yield body
  for (const field of ENVELOPES) yield* candidatesIn(body[field])
}

const TSV = /^start\tend\ttext\n/

/** The third column of Whisper's TSV. None: it is no TSV. */
export const fromTsv = (body: string): Option.Option<string> =>
  TSV.test(body)
    ? Option.some(
        body
          .split("\n")
          .slice(1)
          .map((line) => line.split("\t").slice(2).join(" "))
          .join(" "),
      )
    : Option.none()

/** The event with the whole transcript, or with an error. */
const isLast = (event: unknown) =>
  Predicate.isRecord(event) &&
  (event.type === "transcript.text.done" || event.type === "error" || Predicate.isTruthy(event.error))

/** The last event of OpenAI's stream. None: there are no events, or the stream is cut off. */
export const fromEvents = (body: string): Option.Option<unknown> => {
  const events = makeEventData()
  const found = [...events.push(body), ...events.finish()].flatMap((data) => Option.toArray(parseJson(data)))
  return Option.fromNullable(found.find(isLast))
}
