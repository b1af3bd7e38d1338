import { Chunk, Effect, Option, type Scope, Stream } from "effect"
import { wavHeader } from "../audio/wav.ts"
import { TurnCancelled } from "../conversation/stored-turn.ts"
import type { TurnError } from "../turn/errors.ts"
import type { OutputOptions, TurnEvent } from "../turn/events.ts"
import { finalTimings, type TurnState, timingsOf, transcriptOf } from "../turn/state.ts"
import type { Turn } from "../turn/turns.ts"
import type { MediaType } from "./accept.ts"
import { asEvents } from "./event-stream.ts"
import { serverTiming, type TurnResponse } from "./payloads.ts"
import { type Rendered, splitBefore } from "./streaming.ts"

type Rendering = (
  turn: Pick<Turn, "events" | "state">,
) => Effect.Effect<Rendered<TurnError>, TurnError, Scope.Scope>

/** The longest X-Transcript, in bytes as encoded: proxies refuse responses with more than 4 to 8 KB of headers. */
const transcriptHeaderBytes = 2048

/**
 * Percent-encodes, as UTF-8, what a header cannot hold: `%`, control characters and everything that is not printable
 * ASCII. decodeURIComponent gives the text back. A text that is too long is cut between characters.
 */
const encodeTranscript = (transcript: string): { readonly value: string; readonly truncated: boolean } => {
  let value = ""
  for (const character of transcript.toWellFormed()) {
    const encoded = /^[ -$&-~]$/.test(character) ? character : encodeURIComponent(character)
    if (value.length + encoded.length > transcriptHeaderBytes) return { value, truncated: true }
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

const transcriptHeaders = (state: TurnState): Record<string, string> => {
  const { value, truncated } = encodeTranscript(transcriptOf(state))
  return { "x-transcript": value, ...(truncated ? { "x-transcript-truncated": "true" } : {}) }
}

const audioOf = (event: TurnEvent) => (event._tag === "Audio" ? Option.some(event.bytes) : Option.none())

/** Audio as it arrives. The response starts with the first audio, so a failure before it has an HTTP status. */
const asAudio =
  (contentType: string, start: Uint8Array): Rendering =>
  (turn) =>
    Effect.gen(function* () {
      const [, rest] = yield* splitBefore(turn.events, ({ _tag }) => _tag === "Audio")
      const state = turn.state()
      return {
        headers: { ...headersOf(state), ...transcriptHeaders(state), "content-type": contentType },
        body: Stream.concat(Stream.make(start), Stream.filterMap(rest, audioOf)),
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
      response: state.reply,
      audio: audio.length === 0 ? null : { format: "mp3", base64: audio.toString("base64") },
      timings: finalTimings(state),
      usage: state.usage,
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

const nothing = new Uint8Array(0)

const mp3: OutputOptions = { format: "mp3", streamsText: false, streaming: true }
const pcm: OutputOptions = { ...mp3, format: "pcm" }

/** The rendering of each media type, and the output that it requires of the turn. */
export const renderings: {
  readonly [type in MediaType]: { readonly output: OutputOptions; readonly render: Rendering }
} = {
  "audio/mpeg": rendering(mp3, asAudio("audio/mpeg", nothing)),
  "audio/wav": rendering(
    pcm,
    asAudio("audio/wav", wavHeader({ sampleRate: 24_000, channels: 1, bitsPerSample: 16 })),
  ),
  "audio/pcm": rendering(pcm, asAudio("audio/pcm", nothing)),
  "application/json": rendering({ ...mp3, streaming: false }, asJson),
  "text/event-stream": rendering({ ...mp3, streamsText: true }, asEvents(headersOf)),
}
