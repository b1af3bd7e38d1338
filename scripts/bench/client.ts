import { Schema } from "effect"
import { Timings } from "../../src/sessions/stored-turn.ts"
import { multipart, multipartType } from "../../test/support/multipart.ts"
import { mp3BytesPerMs } from "./latency.ts"
import { type Arrival, longestGapMs } from "./statistics.ts"

/** One turn as its listener met it. Times in ms from the moment the request was sent. */
export interface Heard {
  readonly firstByteMs: number
  readonly lastByteMs: number
  /** The longest silence within the reply, in ms. */
  readonly gapMs: number
}

/** A turn that was not answered, or not whole. */
export interface Failed {
  /** Why: an HTTP status and the error's code, or what became of the connection. */
  readonly failure: string
}

export type Outcome = Heard | Failed

export const isHeard = (outcome: Outcome): outcome is Heard => "firstByteMs" in outcome

export interface Speaker {
  /** Ends in /api/v1. */
  readonly api: string
  readonly key: string
  /** The form that is sent, made once for all turns: what a client does would be taken from the service's cores. */
  readonly form: Blob
  /** How long the reply plays, in ms: one that is much shorter was not spoken whole. */
  readonly speechMs: number
}

export const formOf = (recording: Uint8Array): Blob =>
  new Blob([multipart([{ name: "audio", filename: "recording", content: recording }])])

const post = async ({ api, key, form }: Speaker, accept: string) => {
  const answer = await fetch(`${api}/voice/conversation`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": multipartType, accept },
    body: form,
  })
  if (answer.ok) return answer
  const body = await answer.text()
  throw new Error(`${answer.status} ${/"error":"(\w+)"/.exec(body)?.[1] ?? body}`)
}

/** The share of the speech that must be there: spaces between sentences are not spoken, and pieces are rounded. */
const wholeShare = 0.97

const listen = async (speaker: Speaker): Promise<Heard> => {
  const sent = performance.now()
  const { body } = await post(speaker, "audio/mpeg")
  const arrivals: Array<Arrival> = []
  for await (const { length } of body ?? []) {
    if (length > 0) arrivals.push({ atMs: performance.now() - sent, bytes: length })
  }
  const lastByteMs = performance.now() - sent
  const playsMs = arrivals.reduce((sum, { bytes }) => sum + bytes, 0) / mp3BytesPerMs
  // Its figures would be too good.
  if (playsMs < speaker.speechMs * wholeShare) throw new Error("the speech is not whole")
  const firstByteMs = arrivals[0]?.atMs ?? lastByteMs
  return { firstByteMs, lastByteMs, gapMs: longestGapMs(arrivals, mp3BytesPerMs) }
}

/** Takes a turn and listens to it. Never rejects: a bench that goes on tells more than one that stops. */
export const takeTurn = (speaker: Speaker): Promise<Outcome> =>
  listen(speaker).catch((error: unknown) => ({
    failure: error instanceof Error ? error.message : String(error),
  }))

const Timed = Schema.Struct({ timings: Timings })

/** Takes a turn for the times of its stages, which the service gives with the JSON rendering. */
export const timeTurn = async (speaker: Speaker): Promise<Timings> =>
  Schema.decodeUnknownSync(Timed)(await (await post(speaker, "application/json")).json()).timings
