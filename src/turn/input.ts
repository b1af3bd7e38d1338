import { Data, Effect, Option, type Scope } from "effect"
import type { Agent } from "../agent/agent.ts"
import { type AudioFile, identify } from "../audio/container.ts"
import type { AudioTooLong, AudioTooShort, InvalidAudio } from "../audio/errors.ts"
import { checkDuration, type Pcm16k } from "../audio/pcm.ts"
import type { GivenResult } from "../conversation/call-results.ts"
import { Ffmpeg, needsFfmpeg } from "../ffmpeg/ffmpeg.ts"
import { sha256 } from "../hash.ts"
import { Overloaded } from "../limits/admission.ts"
import { DecodingSlots } from "../limits/decoding-slots.ts"
import type { TurnId, UserId } from "../schema.ts"
import type { OutputOptions, Source } from "./events.ts"
import type { TurnLog } from "./log.ts"

/** What the user says: speech to transcribe, or a text. */
export type Utterance = Data.TaggedEnum<{
  Speech: { readonly pcm: Pcm16k; readonly source: Source }
  Text: { readonly text: string; readonly source: Source }
}>
export const Utterance = Data.taggedEnum<Utterance>()

/** The parts of a turn that its input uses. */
export interface HearContext {
  readonly userId: UserId
  readonly agent: Agent
  readonly log: Pick<TurnLog, "push" | "stage">
}

/** A recording as a client uploaded it. */
export interface Upload extends AudioFile {
  /** In hex. */
  readonly sha256: string
}

/** The source of a user's words: an upload, samples, or a text. */
export interface Input {
  /** Identifies the request for its Idempotency-Key: a SHA-256 in hex. */
  readonly fingerprint: (output: OutputOptions) => string
  readonly hear: (
    context: HearContext,
  ) => Effect.Effect<Utterance, InvalidAudio | AudioTooShort | AudioTooLong | Overloaded, Scope.Scope>
}

/** No words of the user: the agent answers the conversation as it stands. */
export interface ConversationInput {
  readonly fingerprint: Input["fingerprint"]
  readonly hear: undefined
  /** What came back of the calls that a turn left to its client: the conversation ends with it. */
  readonly results: Option.Option<{
    readonly turnId: TurnId
    readonly results: ReadonlyArray<GivenResult>
  }>
}

export const fromConversation: ConversationInput = {
  fingerprint: ({ format }) => sha256(`${format === "none"}`),
  hear: undefined,
  results: Option.none(),
}

/** What a client's tools gave, for the calls of this turn. */
export const fromResults = (turnId: TurnId, results: ReadonlyArray<GivenResult>): ConversationInput => ({
  fingerprint: ({ format }) =>
    sha256(
      JSON.stringify([format === "none", turnId, results.map(({ callId, output }) => [callId, output])]),
    ),
  hear: undefined,
  results: Option.some({ turnId, results }),
})

/** A recording in any accepted container. ffmpeg decodes it unless it is 16 kHz mono 16-bit PCM already. */
export const makeFromFile = Effect.gen(function* () {
  const ffmpeg = yield* Ffmpeg
  const slots = yield* DecodingSlots

  return (upload: Upload): Input => ({
    fingerprint: () => upload.sha256,
    hear: Effect.fnUntraced(function* ({ userId, agent, log }) {
      const recording = yield* log.stage("validate", identify(upload))
      const decode = Effect.catchTag(
        log.stage("transcode", ffmpeg.decode(recording)),
        "FfmpegKilled",
        () => new Overloaded({ reason: "memory", retryAfter: 1 }),
      )
      const waited = Effect.sync(() => log.push({ _tag: "StageEnded", stage: "decodingSlot", ok: true }))
      const decodeInSlot = Effect.suspend(() => {
        log.push({ _tag: "StageStarted", stage: "decodingSlot" })
        return slots.withSlot(userId, Effect.zipRight(waited, decode))
      })
      const pcm = yield* needsFfmpeg(recording) ? decodeInSlot : decode
      yield* checkDuration(pcm, agent.hearing.maxSeconds)
      return Utterance.Speech({ pcm, source: { bytes: upload.bytes, type: recording.demuxer } })
    }),
  })
})

/** Samples that are ready for recognition. */
export const fromPcm = (pcm: Pcm16k): Input => ({
  fingerprint: () => sha256(pcm.bytes),
  hear: ({ agent }) =>
    Effect.as(
      checkDuration(pcm, agent.hearing.maxSeconds),
      Utterance.Speech({ pcm, source: { bytes: pcm.bytes.length, type: "pcm" } }),
    ),
})

/** Words that need no recognition. */
export const fromText = (text: string): Input => ({
  // The same text with and without a spoken reply are two different requests.
  fingerprint: ({ format }) => sha256(`${format === "none"}:${text}`),
  hear: () =>
    Effect.succeed(Utterance.Text({ text, source: { bytes: Buffer.byteLength(text), type: "text" } })),
})
