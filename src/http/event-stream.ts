import { Cause, Effect, Option, type Scope, Stream } from "effect"
import type { TurnError } from "../turn/errors.ts"
import type { TurnEvent } from "../turn/events.ts"
import { betweenRounds, replyOf, type TurnState, transcriptOf } from "../turn/state.ts"
import { finalTimings } from "../turn/timings.ts"
import type { Turn } from "../turn/turns.ts"
import { withCost } from "../usage/bill.ts"
import { type SseEvent, shownCalls } from "./payloads.ts"
import { defect, toProblem } from "./problems.ts"
import { logBreak, type Rendered, splitBefore } from "./streaming.ts"

/**
 * The server-sent events of a turn's events, in order. None for events that the client does not get. The texts of two rounds
 * are joined as in the whole reply.
 */
const makeToSse = (state: () => TurnState) => {
  let written = ""
  let isNewRound = false
  return (event: TurnEvent): Option.Option<SseEvent> => {
    if (event._tag === "RoundStarted") isNewRound = true
    if (event._tag !== "TextDelta") return toSse(event, state)
    const text = isNewRound ? betweenRounds(written, event.text) + event.text : event.text
    isNewRound = false
    written = text
    return Option.some({ event: "reply.delta", data: { text } })
  }
}

const toSse = (event: TurnEvent, state: () => TurnState): Option.Option<SseEvent> => {
  switch (event._tag) {
    case "Started": {
      const { sessionId, turnId } = event
      return Option.some({ event: "turn.started", data: { sessionId, turnId } })
    }
    case "Heard":
      return Option.some({ event: "transcript", data: { text: event.text } })
    case "Audio":
      return Option.some({
        event: "audio",
        data: { base64: Buffer.from(event.bytes).toString("base64"), format: "mp3" },
      })
    case "ToolCalled": {
      const { by, callId, name, arguments: args } = event
      return by === "service"
        ? Option.none()
        : Option.some({ event: "tool_call", data: { callId, name, arguments: args } })
    }
    case "Completed": {
      const data = {
        transcript: transcriptOf(state()),
        response: replyOf(state()),
        toolCalls: shownCalls(state()),
        timings: finalTimings(state()),
        usage: withCost(state().consumed),
      }
      return Option.some({ event: "turn.completed", data })
    }
    default:
      return Option.none()
  }
}

/** The last event of a failed turn. After an interruption the client is gone, so the stream fails instead. */
const toErrorEvent = (cause: Cause.Cause<TurnError>): Stream.Stream<SseEvent, TurnError> => {
  if (Cause.isInterruptedOnly(cause)) return Stream.failCause(cause)
  const { code, message } = Option.match(Cause.failureOption(cause), {
    onSome: toProblem,
    onNone: () => defect(Cause.squash(cause), "production"),
  })
  const event: SseEvent = { event: "error", data: { error: code, message } }
  return Stream.concat(Stream.drain(Stream.fromEffect(logBreak(cause))), Stream.make(event))
}

/** Seconds without an event after which a comment is sent: proxies close a silent connection after 30 s or more. */
const commentAfterSeconds = 10

const startsResponse = ({ _tag }: TurnEvent) => _tag !== "Started"

/** The event on the wire. `id` counts from 1. */
const encode = ({ event, data }: SseEvent, id: number) =>
  `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`

/**
 * The turn as server-sent events. The response starts with the transcript, or with the reply of a turn that hears nothing. A
 * failure before it has an HTTP status, and a later failure is the last event.
 */
export const asEvents =
  (headersOf: (state: TurnState) => Record<string, string>) =>
  ({
    events,
    state,
  }: Pick<Turn, "events" | "state">): Effect.Effect<Rendered<TurnError>, TurnError, Scope.Scope> =>
    Effect.gen(function* () {
      const [before, rest] = yield* splitBefore(events, startsResponse)
      let lastId = 0
      let silentSeconds = 0
      const lines = Stream.fromIterable(before).pipe(
        Stream.concat(rest),
        Stream.filterMap(makeToSse(state)),
        Stream.catchAllCause(toErrorEvent),
        Stream.map((event) => {
          lastId += 1
          silentSeconds = 0
          return encode(event, lastId)
        }),
      )
      const comments = Stream.tick("1 second").pipe(
        Stream.drop(1),
        Stream.filter(() => {
          silentSeconds += 1
          return silentSeconds % commentAfterSeconds === 0
        }),
        Stream.as(": the turn goes on\n\n"),
      )
      return {
        headers: { ...headersOf(state()), "content-type": "text/event-stream; charset=utf-8" },
        body: Stream.encodeText(Stream.merge(lines, comments, { haltStrategy: "left" })),
      }
    })
