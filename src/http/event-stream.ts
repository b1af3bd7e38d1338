import { Cause, Effect, Option, type Scope, Stream } from "effect"
import type { TurnError } from "../turn/errors.ts"
import type { TurnEvent } from "../turn/model.ts"
import { defect, toProblem } from "./problems.ts"
import { logBreak, type Rendered, splitBefore } from "./streaming.ts"

interface Sent {
  readonly event: string
  readonly data: unknown
}

const toSent = (event: TurnEvent): Option.Option<Sent> => {
  switch (event._tag) {
    case "Started":
      return Option.some({
        event: "turn.started",
        data: { sessionId: event.sessionId, turnId: event.turnId },
      })
    case "Transcript":
      return Option.some({ event: "transcript", data: { text: event.text } })
    case "ReplyDelta":
      return Option.some({ event: "reply.delta", data: { text: event.text } })
    case "Audio":
      return Option.some({
        event: "audio",
        data: { base64: Buffer.from(event.bytes).toString("base64"), format: "mp3" },
      })
    case "Completed": {
      const { transcript, response, timings, usage } = event
      return Option.some({ event: "turn.completed", data: { transcript, response, timings, usage } })
    }
    case "Timed":
      return Option.none()
  }
}

/** The last event of a turn that did not complete. What was interrupted has nobody who listens. */
const failed = (cause: Cause.Cause<TurnError>): Stream.Stream<Sent, TurnError> => {
  if (Cause.isInterruptedOnly(cause)) return Stream.failCause(cause)
  const { code, message } = Option.match(Cause.failureOption(cause), {
    onSome: toProblem,
    onNone: () => defect(Cause.squash(cause), "production"),
  })
  return Stream.drain(Stream.fromEffect(logBreak(cause))).pipe(
    Stream.concat(Stream.make({ event: "error", data: { error: code, message } })),
  )
}

/** Seconds of silence after which a comment keeps proxies from ending the connection; they do after 30 s or more. */
const longestSilence = 10

/** As it goes over the wire: `id` counts from 1. */
const encode = ({ event, data }: Sent, id: number) =>
  `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`

/**
 * The turn as server-sent events, live from the transcript on: what fails before has a status, what fails later is the
 * last event.
 */
export const asEvents =
  (headersOf: (events: Iterable<TurnEvent>) => Record<string, string>) =>
  (events: Stream.Stream<TurnEvent, TurnError>): Effect.Effect<Rendered<TurnError>, TurnError, Scope.Scope> =>
    Effect.gen(function* () {
      const [before, rest] = yield* splitBefore(events, ({ _tag }) => _tag === "Transcript")
      let last = 0
      let silence = 0
      const lines = Stream.fromIterable(before).pipe(
        Stream.concat(rest),
        Stream.filterMap(toSent),
        Stream.catchAllCause(failed),
        Stream.map((sent) => {
          last += 1
          silence = 0
          return encode(sent, last)
        }),
      )
      const comments = Stream.tick("1 second").pipe(
        Stream.drop(1),
        Stream.filter(() => {
          silence += 1
          return silence % longestSilence === 0
        }),
        Stream.as(": the turn goes on\n\n"),
      )
      const { "x-transcript": _, "x-transcript-truncated": __, ...headers } = headersOf(before)
      return {
        headers: { ...headers, "content-type": "text/event-stream; charset=utf-8" },
        body: Stream.encodeText(Stream.merge(lines, comments, { haltStrategy: "left" })),
      }
    })
