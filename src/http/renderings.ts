import { Chunk, Effect, Option, type Scope, Stream } from "effect"
import { shortSilence } from "../audio/quiet.ts"
import type { SpokenFormat } from "../audio/speech-joiner.ts"
import { wavHeader } from "../audio/wav.ts"
import { TurnCancelled } from "../conversation/stored-turn.ts"
import type { TurnError } from "../turn/errors.ts"
import type { OutputOptions, TurnEvent } from "../turn/events.ts"
import { replyOf, type TurnState, transcriptOf } from "../turn/state.ts"
import { finalTimings, timingsOf } from "../turn/timings.ts"
import type { Turn } from "../turn/turns.ts"
import { withCost } from "../usage/bill.ts"
import type { MediaType } from "./accept.ts"
import { asEvents } from "./event-stream.ts"
import { serverTiming, shownCalls, type TurnResponse } from "./payloads.ts"
import { type Rendered, splitBefore } from "./streaming.ts"

type Rendering = (
  turn: Pick<Turn, "events" | "state">,
) => Effect.Effect<Rendered<TurnError>, TurnError, Scope.Scope>

/** The longest text in a header, in bytes as encoded: proxies refuse responses with more than 4 to 8 KB of headers. */
const textHeaderBytes = 2048

/**
 * Percent-encodes, as UTF-8, what a header cannot hold: `%`, control characters and everything that is not printable
 * ASCII. decodeURIComponent gives the text back. A text that is too long is cut between characters.
 */
const encodeText = (text: string): { readonly value: string; readonly truncated: boolean } => {
  let value = ""
  for (const character of text.toWellFormed()) {
    const encoded = /^[ -$&-~]$/.test(character) ? character : encodeURIComponent(character)
    if (value.length + encoded.length > textHeaderBytes) return { value, truncated: true }
    value += encoded
  }
  return { value, truncated: false }
}

/** The headers of a turn's response, with the timings that are known when it starts. */
const headersOf = (state: TurnState): Record<string, string> => ({
  "cache-control": "no-store",
  "x-accel-buffering": "no",
  "server-timing": serverTiming(timingsOf(state)),
  ...Option.match(state.ids, {
    onNone: () => ({}),
    onSome: ({ sessionId, turnId }) => ({ "x-session-id": sessionId, "x-turn-id": turnId }),
  }),
  ...(Option.isSome(state.replayOf) ? { "idempotent-replayed": "true" } : {}),
})

const textHeaders = (name: string, text: string): Record<string, string> => {
  const { value, truncated } = encodeText(text)
  return { [name]: value, ...(truncated ? { [`${name}-truncated`]: "true" } : {}) }
}

const transcriptHeaders = (state: TurnState) => textHeaders("x-transcript", transcriptOf(state))

const nothing = new Uint8Array(0)

const audioOf = (event: TurnEvent) => (event._tag === "Audio" ? Option.some(event.bytes) : Option.none())

/**
 * Audio as it arrives. The response starts with the first audio, so a failure before it has an HTTP status. A reply that
 * has no audio is saved by then: the response is a short silence, and the reply's text is in its headers.
 */
const asAudio =
  (
    contentType: string,
    { format }: { readonly format: SpokenFormat },
    start: Uint8Array = nothing,
  ): Rendering =>
  (turn) =>
    Effect.gen(function* () {
      const [, rest] = yield* splitBefore(turn.events, ({ _tag }) => _tag === "Audio")
      const state = turn.state()
      const isSpoken = Option.isSome(state.firstAudioAt)
      return {
        headers: {
          ...headersOf(state),
          ...transcriptHeaders(state),
          ...(isSpoken ? {} : textHeaders("x-response", replyOf(state))),
          "content-type": contentType,
        },
        body: Stream.concat(
          Stream.make(start),
          isSpoken ? Stream.filterMap(rest, audioOf) : Stream.make(shortSilence(format)),
        ),
      }
    })

/** The whole turn in one JSON document, once it is saved. */
const asJson: Rendering = (turn) =>
  Effect.gen(function* () {
    yield* Stream.runDrain(turn.events)
    const state = turn.state()
    const { sessionId, turnId } = yield* Effect.orDie(state.ids)
    const audio = Buffer.concat(Chunk.toReadonlyArray(state.audio))
    const response: TurnResponse = {
      sessionId,
      turnId,
      transcript: transcriptOf(state),
      response: replyOf(state),
      toolCalls: shownCalls(state),
      audio: audio.length === 0 ? null : { format: "mp3", base64: audio.toString("base64") },
      timings: finalTimings(state),
      usage: withCost(state.consumed),
    }
    return {
      headers: { ...headersOf(state), ...transcriptHeaders(state), "content-type": "application/json" },
      body: Stream.make(new TextEncoder().encode(JSON.stringify(response))),
    }
  })

/** The events of a turn that is not interrupted: a response that lacks a part of the reply must not end like a whole one. */
const uninterrupted = (events: Turn["events"]): Turn["events"] =>
  Stream.mapChunksEffect(events, (chunk) =>
    Chunk.some(chunk, ({ _tag }) => _tag === "Interrupted") ? new TurnCancelled() : Effect.succeed(chunk),
  )

const rendering = (output: OutputOptions, render: Rendering) => ({
  output,
  render: ({ events, state }: Pick<Turn, "events" | "state">) =>
    render({ events: uninterrupted(events), state }),
})

const mp3 = { format: "mp3", streamsText: false, streaming: true } as const satisfies OutputOptions
const pcm = { ...mp3, format: "pcm" } as const satisfies OutputOptions

/** The rendering of each media type, and the output that it requires of the turn. */
export const renderings: {
  readonly [type in MediaType]: { readonly output: OutputOptions; readonly render: Rendering }
} = {
  "audio/mpeg": rendering(mp3, asAudio("audio/mpeg", mp3)),
  "audio/wav": rendering(
    pcm,
    asAudio("audio/wav", pcm, wavHeader({ sampleRate: 24_000, channels: 1, bitsPerSample: 16 })),
  ),
  "audio/pcm": rendering(pcm, asAudio("audio/pcm", pcm)),
  "application/json": rendering({ ...mp3, streaming: false }, asJson),
  "text/event-stream": rendering({ ...mp3, streamsText: true }, asEvents(headersOf)),
}
