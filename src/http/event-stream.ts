import { Cause, Chunk, Effect, type Exit, Option, type Scope } from "effect"
import type { TurnError } from "../turn/errors.ts"
import type { TurnEvent } from "../turn/events.ts"
import { betweenRounds, replyOf, type TurnState, transcriptOf } from "../turn/state.ts"
import type { Take } from "../turn/take.ts"
import { finalTimings } from "../turn/timings.ts"
import type { Turn } from "../turn/turns.ts"
import { withCost } from "../usage/bill.ts"
import { type SseEvent, shownCalls } from "./payloads.ts"
import { defect, toProblem } from "./problems.ts"
import { logBreak, type Rendered, splitBefore, takeFirst } from "./streaming.ts"

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

/** The last event of a failed turn. After an interruption the client is gone, so there is none. */
const toErrorEvent = (cause: Cause.Cause<TurnError>): Effect.Effect<SseEvent, TurnError> => {
  if (Cause.isInterruptedOnly(cause)) return Effect.failCause(cause)
  const { code, message } = Option.match(Cause.failureOption(cause), {
    onSome: toProblem,
    onNone: () => defect(Cause.squash(cause), "production"),
  })
  return Effect.as(logBreak(cause), { event: "error", data: { error: code, message } })
}

/** Seconds without an event after which a comment is sent: proxies close a silent connection after 30 s or more. */
const commentAfterSeconds = 10

const startsResponse = ({ _tag }: TurnEvent) => _tag !== "Started"

/** The event on the wire. `id` counts from 1. */
const encode = ({ event, data }: SseEvent, id: number): Uint8Array =>
  Buffer.from(`id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`)

const comment = Chunk.of<Uint8Array>(Buffer.from(": the turn goes on\n\n"))

/** Adds a comment after every `commentAfterSeconds` without an event. One fiber waits for all events. */
const withComments = <E>(
  take: Take<Uint8Array, E>,
): Effect.Effect<Take<Uint8Array, E>, never, Scope.Scope> => {
  const asked = Effect.unsafeMakeLatch(false)
  const answered = Effect.unsafeMakeLatch(false)
  let taken: Exit.Exit<readonly [batch: Chunk.Chunk<Uint8Array>, isDone: boolean], E> | undefined
  let isTaking = false
  let silentSeconds = 0
  const taking = Effect.andThen(asked.await, asked.close).pipe(
    Effect.zipRight(Effect.exit(take)),
    Effect.flatMap((exit) => {
      taken = exit
      return answered.open
    }),
  )
  const ticking = Effect.sync(() => {
    silentSeconds += 1
    if (silentSeconds % commentAfterSeconds === 0) answered.unsafeOpen()
  })
  const next = Effect.suspend(() => {
    if (!isTaking) asked.unsafeOpen()
    isTaking = true
    return Effect.flatMap(answered.await, () => {
      answered.unsafeClose()
      if (taken === undefined) return Effect.succeed([comment, false] as const)
      const exit = taken
      taken = undefined
      isTaking = false
      silentSeconds = 0
      return exit
    })
  })
  return Effect.forkScoped(Effect.forever(taking)).pipe(
    Effect.zipRight(Effect.forkScoped(Effect.forever(Effect.delay(ticking, "1 second")))),
    Effect.as(next),
  )
}

/**
 * The turn as server-sent events. The response starts with the transcript, or with the reply of a turn that hears nothing. A
 * failure before it has an HTTP status, and a later failure is the last event.
 */
export const asEvents =
  (headersOf: (state: TurnState) => Record<string, string>) =>
  ({
    take,
    state,
  }: Pick<Turn, "take" | "state">): Effect.Effect<Rendered<TurnError>, TurnError, Scope.Scope> =>
    Effect.gen(function* () {
      const [before, rest] = yield* splitBefore(take, startsResponse)
      const toSse = makeToSse(state)
      let lastId = 0
      const line = (event: SseEvent) => {
        lastId += 1
        return encode(event, lastId)
      }
      const lines = (batch: Chunk.Chunk<TurnEvent>) => Chunk.map(Chunk.filterMap(batch, toSse), line)
      const taking: Take<Uint8Array, TurnError> = rest.pipe(
        Effect.map(([batch, isDone]) => [lines(batch), isDone] as const),
        Effect.catchAllCause((cause) =>
          Effect.map(toErrorEvent(cause), (event) => [Chunk.of(line(event)), true] as const),
        ),
      )
      const first = lines(before)
      return {
        headers: { ...headersOf(state()), "content-type": "text/event-stream; charset=utf-8" },
        body: takeFirst([first, false], yield* withComments(taking)),
      }
    })
