import { Schema } from "effect"
import { Timings } from "../../src/schema.ts"
import { multipart, multipartType } from "../../test/support/multipart.ts"
import { mp3BytesPerMs } from "./latency.ts"
import { type Arrival, longestGapMs } from "./statistics.ts"

/** One turn as its client saw it. Times in ms from sending the request. */
export interface Heard {
  readonly firstByteMs: number
  readonly lastByteMs: number
  /** The longest gap in the reply, in ms. */
  readonly gapMs: number
  /** From the end of the upload to the first audio, measured by the service: without the wait for a slot. */
  readonly ownFirstAudioMs: number
}

/** A turn that failed. */
export interface Failed {
  /** The reason: HTTP status and error code, or what happened to the connection. */
  readonly failure: string
  /** When it was refused or broke off, in ms from sending the request. */
  readonly failedMs: number
  /** Whether the response has Retry-After. */
  readonly hasRetryAfter: boolean
}

export type Outcome = Heard | Failed

export const isHeard = (outcome: Outcome): outcome is Heard => "firstByteMs" in outcome

export interface Speaker {
  /** Ends with /api/v1. */
  readonly api: string
  readonly key: string
  /** The form, made once for all turns: the clients use the same cores as the service. */
  readonly form: Blob
  /** Duration of the speech in ms. A much shorter reply was not spoken completely. */
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

/** The smallest complete share of the speech. Spaces between sentences are not spoken, and segments are rounded. */
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
  // An incomplete reply would make the figures too good.
  if (playsMs < speaker.speechMs * wholeShare) throw new Error("the speech is incomplete")
  const firstByteMs = arrivals[0]?.atMs ?? lastByteMs
  const ownFirstAudioMs = Number(/first_audio;dur=([\d.]+)/.exec(headers.get("server-timing") ?? "")?.[1])
  return { firstByteMs, lastByteMs, gapMs: longestGapMs(arrivals, mp3BytesPerMs), ownFirstAudioMs }
}

/** Runs a turn and reads its response. Never rejects: the benchmark continues after a failed turn. */
export const takeTurn = (speaker: Speaker): Promise<Outcome> => {
  const sent = performance.now()
  return listen(speaker).catch((error: unknown) => ({
    failure: error instanceof Error ? error.message : String(error),
    failedMs: performance.now() - sent,
    hasRetryAfter: error instanceof Refusal && error.hasRetryAfter,
  }))
}

const Timed = Schema.Struct({ timings: Timings })

/** Runs a turn for the timings of its stages, which the JSON rendering contains. */
export const timeTurn = async (speaker: Speaker): Promise<Timings> =>
  Schema.decodeUnknownSync(Timed)(await (await post(speaker, "application/json")).json()).timings
