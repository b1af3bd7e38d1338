import { Schema } from "effect"
import { Timings } from "../../src/schema.ts"
import { multipart, multipartType } from "../../test/support/multipart.ts"
import { mp3BytesPerMs } from "./latency.ts"
import { type Arrival, longestGapMs } from "./statistics.ts"

/** One turn as its listener met it. Times in ms from the moment the request was sent. */
export interface Heard {
  readonly firstByteMs: number
  readonly lastByteMs: number
  /** The longest silence within the reply, in ms. */
  readonly gapMs: number
  /** From the end of the upload to the first audio, by the service's own clock: without the wait for a place. */
  readonly ownFirstAudioMs: number
}

/** A turn that was not answered, or not whole. */
export interface Failed {
  /** Why: an HTTP status and the error's code, or what became of the connection. */
  readonly failure: string
  /** When it was refused or broke, in ms from the moment the request was sent. */
  readonly failedMs: number
  /** Whether it was told when to try again. */
  readonly hasRetryAfter: boolean
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

class Refusal extends Error {
  readonly hasRetryAfter: boolean
  constructor(said: string, hasRetryAfter: boolean) {
    super(said)
    this.hasRetryAfter = hasRetryAfter
  }
}

const post = async ({ api, key, form }: Speaker, accept: string) => {
  const answer = await fetch(`${api}/voice/conversation`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": multipartType, accept },
    body: form,
  })
  if (answer.ok) return answer
  const body = await answer.text()
  const said = `${answer.status} ${/"error":"(\w+)"/.exec(body)?.[1] ?? body}`
  throw new Refusal(said, answer.headers.has("retry-after"))
}

/** The share of the speech that must be there: spaces between sentences are not spoken, and pieces are rounded. */
const wholeShare = 0.97

const listen = async (speaker: Speaker): Promise<Heard> => {
  const sent = performance.now()
  const { body, headers } = await post(speaker, "audio/mpeg")
  const arrivals: Array<Arrival> = []
  for await (const { length } of body ?? []) {
    if (length > 0) arrivals.push({ atMs: performance.now() - sent, bytes: length })
  }
  const lastByteMs = performance.now() - sent
  const playsMs = arrivals.reduce((sum, { bytes }) => sum + bytes, 0) / mp3BytesPerMs
  // Its figures would be too good.
  if (playsMs < speaker.speechMs * wholeShare) throw new Error("the speech is not whole")
  const firstByteMs = arrivals[0]?.atMs ?? lastByteMs
  const ownFirstAudioMs = Number(/first_audio;dur=([\d.]+)/.exec(headers.get("server-timing") ?? "")?.[1])
  return { firstByteMs, lastByteMs, gapMs: longestGapMs(arrivals, mp3BytesPerMs), ownFirstAudioMs }
}

/** Takes a turn and listens to it. Never rejects: a bench that goes on tells more than one that stops. */
export const takeTurn = (speaker: Speaker): Promise<Outcome> => {
  const sent = performance.now()
  return listen(speaker).catch((error: unknown) => ({
    failure: error instanceof Error ? error.message : String(error),
    failedMs: performance.now() - sent,
    hasRetryAfter: error instanceof Refusal && error.hasRetryAfter,
  }))
}

const Timed = Schema.Struct({ timings: Timings })

/** Takes a turn for the times of its stages, which the service gives with the JSON rendering. */
export const timeTurn = async (speaker: Speaker): Promise<Timings> =>
  Schema.decodeUnknownSync(Timed)(await (await post(speaker, "application/json")).json()).timings
