import { Array as Arr, Chunk, Effect, Option, type Scope, Sink, Stream } from "effect"
import { type SpeechFormat, TurnEvent } from "../turn/model.ts"
import { wavHeader } from "../turn/wav.ts"
import type { MediaType } from "./accept.ts"

/** An answer whose body may still be in the making. */
export interface Rendered<E> {
  readonly headers: Record<string, string>
  readonly body: Stream.Stream<Uint8Array, E>
}

type Rendering = <E>(events: Stream.Stream<TurnEvent, E>) => Effect.Effect<Rendered<E>, E, Scope.Scope>

/** The longest X-Transcript, in bytes as encoded: proxies refuse answers with more than 4 to 8 KB of headers. */
const transcriptHeaderBytes = 2048

/**
 * Percent-encoded where a header must be: `%`, control characters and all that is not printable ASCII, as UTF-8.
 * decodeURIComponent gives the text back; what is too long is cut between characters.
 */
export const encodeTranscript = (
  transcript: string,
): { readonly value: string; readonly truncated: boolean } => {
  let value = ""
  for (const character of transcript.toWellFormed()) {
    const encoded = /^[ -$&-~]$/.test(character) ? character : encodeURIComponent(character)
    if (value.length + encoded.length > transcriptHeaderBytes) return { value, truncated: true }
    value += encoded
  }
  return { value, truncated: false }
}

const headersOf = (events: Iterable<TurnEvent>) => {
  const headers: Record<string, string> = { "cache-control": "no-store", "x-accel-buffering": "no" }
  for (const event of events) {
    if (event._tag === "Started") {
      headers["x-session-id"] = event.sessionId
      headers["x-turn-id"] = event.turnId
    }
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
      Stream.peel(
        events,
        Sink.collectAllWhile((event: TurnEvent) => event._tag !== "Audio"),
      ),
      ([before, rest]) => ({
        headers: { ...headersOf(before), "content-type": contentType },
        body: Stream.concat(Stream.make(start), Stream.filterMap(rest, audioOf)),
      }),
    )

/** All of it at once, when it is saved. */
const asJson: Rendering = (events) =>
  Effect.gen(function* () {
    const all = Chunk.toReadonlyArray(yield* Stream.runCollect(events))
    const audio = Buffer.concat(Array.from(Arr.filterMap(all, audioOf)))
    const [started] = Arr.filter(all, TurnEvent.$is("Started"))
    const [completed] = Arr.filter(all, TurnEvent.$is("Completed"))
    const answer = {
      sessionId: started?.sessionId,
      turnId: started?.turnId,
      transcript: completed?.transcript,
      response: completed?.response,
      audio: { format: "mp3", base64: audio.toString("base64") },
      timings: completed?.timings,
      usage: completed?.usage,
    }
    return {
      headers: { ...headersOf(all), "content-type": "application/json" },
      body: Stream.make(new TextEncoder().encode(JSON.stringify(answer))),
    }
  })

const nothing = new Uint8Array(0)

/** Each media type's rendering of the very same turn, and the speech that it is made from. */
export const renderings: {
  readonly [type in MediaType]: { readonly speech: SpeechFormat; readonly render: Rendering }
} = {
  "audio/mpeg": { speech: "mp3", render: asAudio("audio/mpeg", nothing) },
  "audio/wav": {
    speech: "pcm",
    render: asAudio("audio/wav", wavHeader({ sampleRate: 24_000, channels: 1, bitsPerSample: 16 })),
  },
  "audio/pcm": { speech: "pcm", render: asAudio("audio/pcm", nothing) },
  "application/json": { speech: "mp3", render: asJson },
}
