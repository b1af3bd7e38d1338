import { Chunk, Effect, Option, type Scope } from "effect"
import { shortSilence } from "../audio/quiet.ts"
import type { SpokenFormat } from "../audio/speech-joiner.ts"
import { wavHeader } from "../audio/wav.ts"
import { TurnCancelled } from "../conversation/stored-turn.ts"
import type { TurnError } from "../turn/errors.ts"
import type { OutputOptions, TurnEvent } from "../turn/events.ts"
import { replyOf, type TurnState, transcriptOf } from "../turn/state.ts"
import { drain, type Take } from "../turn/take.ts"
import { finalTimings, timingsOf } from "../turn/timings.ts"
import type { Turn } from "../turn/turns.ts"
import { withCost } from "../usage/bill.ts"
import type { MediaType } from "./accept.ts"
import { asEvents } from "./event-stream.ts"
import { serverTiming, shownCalls, type TurnResponse } from "./payloads.ts"
import { type Rendered, splitBefore } from "./streaming.ts"

type Rendering = (
  turn: Pick<Turn, "take" | "state">,
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

const audioOf = (event: TurnEvent) => (event._tag === "Audio" ? Option.some(event.bytes) : Option.none())

/** `start`, if it has any bytes, and the audio of the events. */
const audioAfter = <E>(start: Uint8Array, take: Take<TurnEvent, E>): Take<Uint8Array, E> => {
  let before = start.length === 0 ? Chunk.empty<Uint8Array>() : Chunk.of(start)
  return Effect.map(take, ([batch, isDone]) => {
    const audio = Chunk.appendAll(before, Chunk.filterMap(batch, audioOf))
    before = Chunk.empty()
    return [audio, isDone]
  })
}

const takeOnce = (...parts: ReadonlyArray<Uint8Array>): Take<Uint8Array, never> =>
  Effect.succeed([Chunk.fromIterable(parts.filter(({ length }) => length > 0)), true])

/**
 * Audio as it arrives. The response starts with the first audio, so a failure before it has an HTTP status. A reply that
 * has no audio is saved by then: the response is a short silence, and the reply's text is in its headers.
 */
const asAudio =
  (
    contentType: string,
    { format }: { readonly format: SpokenFormat },
    start: Uint8Array = new Uint8Array(0),
  ): Rendering =>
  (turn) =>
    Effect.gen(function* () {
      const [, rest] = yield* splitBefore(turn.take, ({ _tag }) => _tag === "Audio")
      const state = turn.state()
      const isSpoken = Option.isSome(state.firstAudioAt)
      return {
        headers: {
          ...headersOf(state),
          ...transcriptHeaders(state),
          ...(isSpoken ? {} : textHeaders("x-response", replyOf(state))),
          "content-type": contentType,
        },
        body: isSpoken ? audioAfter(start, rest) : takeOnce(start, shortSilence(format)),
      }
    })

/** The whole turn in one JSON document, once it is saved. */
const asJson: Rendering = (turn) =>
  Effect.gen(function* () {
    yield* drain(turn.take, () => Effect.void)
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
      body: takeOnce(new TextEncoder().encode(JSON.stringify(response))),
    }
  })

/** The events of a turn that is not interrupted: a response that lacks a part of the reply must not end like a whole one. */
const uninterrupted = (take: Turn["take"]): Turn["take"] =>
  Effect.filterOrFail(
    take,
    ([batch]) => !Chunk.some(batch, ({ _tag }) => _tag === "Interrupted"),
    () => new TurnCancelled(),
  )

const rendering = (output: OutputOptions, render: Rendering) => ({
  output,
  render: ({ take, state }: Pick<Turn, "take" | "state">) => render({ take: uninterrupted(take), state }),
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
