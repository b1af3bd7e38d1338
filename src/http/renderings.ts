import { Array as Arr, Chunk, Effect, Option, type Scope, Stream } from "effect"
import { wavHeader } from "../audio/wav.ts"
import type { TurnError } from "../turn/errors.ts"
import { type Listening, TurnEvent } from "../turn/model.ts"
import type { MediaType } from "./accept.ts"
import { asEvents } from "./event-stream.ts"
import { serverTiming } from "./payloads.ts"
import { type Rendered, splitBefore } from "./streaming.ts"

type Rendering = (
  events: Stream.Stream<TurnEvent, TurnError>,
) => Effect.Effect<Rendered<TurnError>, TurnError, Scope.Scope>

/** The longest X-Transcript, in bytes as encoded: proxies refuse answers with more than 4 to 8 KB of headers. */
const transcriptHeaderBytes = 2048

/**
 * Percent-encoded where a header must be: `%`, control characters and all that is not printable ASCII, as UTF-8.
 * decodeURIComponent gives the text back; what is too long is cut between characters.
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

/** Of a turn that began so. */
export const headersOf = (events: Iterable<TurnEvent>) => {
  const headers: Record<string, string> = { "cache-control": "no-store", "x-accel-buffering": "no" }
  for (const event of events) {
    if (event._tag === "Started") {
      headers["x-session-id"] = event.sessionId
      headers["x-turn-id"] = event.turnId
      if (event.isReplay) headers["idempotent-replayed"] = "true"
    }
    if (event._tag === "Timed") headers["server-timing"] = serverTiming(event.timings)
    if (event._tag === "Transcript") {
      const { value, truncated } = encodeTranscript(event.text)
      headers["x-transcript"] = value
      if (truncated) headers["x-transcript-truncated"] = "true"
    }
  }
  return headers
}

const audioOf = (event: TurnEvent) => (event._tag === "Audio" ? Option.some(event.bytes) : Option.none())

/** The speech as it comes. Nothing is answered before the first of it exists, so what fails until then has a status. */
const asAudio =
  (contentType: string, start: Uint8Array): Rendering =>
  (events) =>
    Effect.map(
      splitBefore(events, ({ _tag }) => _tag === "Audio"),
      ([before, rest]) => ({
        headers: { ...headersOf(before), "content-type": contentType },
        body: Stream.concat(Stream.make(start), Stream.filterMap(rest, audioOf)),
      }),
    )

/** All of it at once, when it is saved. */
const asJson: Rendering = (events) =>
  Effect.gen(function* () {
    const all = Chunk.toReadonlyArray(yield* Stream.runCollect(events))
    const [audio] = Arr.filterMap(all, audioOf)
    const [started] = Arr.filter(all, TurnEvent.$is("Started"))
    const [completed] = Arr.filter(all, TurnEvent.$is("Completed"))
    const answer = {
      sessionId: started?.sessionId,
      turnId: started?.turnId,
      transcript: completed?.transcript,
      response: completed?.response,
      audio: audio === undefined ? null : { format: "mp3", base64: audio.toBase64() },
      timings: completed?.timings,
      usage: completed?.usage,
    }
    return {
      headers: { ...headersOf(all), "content-type": "application/json" },
      body: Stream.make(new TextEncoder().encode(JSON.stringify(answer))),
    }
  })

const nothing = new Uint8Array(0)

const heard: Listening = { format: "mp3", wantsText: false, isLive: true }
const heardAsSamples: Listening = { ...heard, format: "pcm" }

/** Each media type's rendering of the very same turn, and how that is listened to. */
export const renderings: {
  readonly [type in MediaType]: { readonly listening: Listening; readonly render: Rendering }
} = {
  "audio/mpeg": { listening: heard, render: asAudio("audio/mpeg", nothing) },
  "audio/wav": {
    listening: heardAsSamples,
    render: asAudio("audio/wav", wavHeader({ sampleRate: 24_000, channels: 1, bitsPerSample: 16 })),
  },
  "audio/pcm": { listening: heardAsSamples, render: asAudio("audio/pcm", nothing) },
  "application/json": { listening: { ...heard, isLive: false }, render: asJson },
  "text/event-stream": { listening: { ...heard, wantsText: true }, render: asEvents(headersOf) },
}
