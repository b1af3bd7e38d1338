import { Schema } from "effect"

/** What one load of the driver does. */
export class Plan extends Schema.Class<Plan>("Plan")({
  /** Ends in /api/v1/realtime. */
  url: Schema.String,
  key: Schema.String,
  /** Sockets that only send audio of a microphone nobody speaks into. */
  listening: Schema.Int,
  /** `muted`: digital silence. `room`: noise at -60 dBFS, which the detector has to judge. */
  sound: Schema.Literal("muted", "room"),
  /** Sockets that ask, hear the reply and ask again. */
  speaking: Schema.Int,
  /** Whether speakers interrupt the reply instead of hearing it. */
  interrupts: Schema.Boolean,
  /** Questions whose figures count, over all speakers. 0: the load lasts until the driver is stopped. */
  questions: Schema.Int,
}) {}

/** One question, in ms. */
export const Asked = Schema.Struct({
  /** From the end of the speech, as the client sent it, to the first audio of the reply. */
  firstAudioMs: Schema.Number,
  /** From the end of the speech to speech_stopped. */
  stoppedMs: Schema.Number,
})

/** One interruption, in ms. */
export const Interrupted = Schema.Struct({
  /** From the first sound of the speech to speech_started. */
  startedMs: Schema.Number,
  /** From speech_started to the last audio of the reply; 0 if none came after it. */
  lastAudioMs: Schema.Number,
})

/** What the driver reports at its end. */
export const Driven = Schema.Struct({
  asked: Schema.Array(Asked),
  interrupted: Schema.Array(Interrupted),
  /** `error` events, and connections that ended, by their text. */
  failures: Schema.Record({ key: Schema.String, value: Schema.Number }),
  /** How late the driver itself sent its audio: the 95th percentile in ms. */
  lateMs: Schema.Number,
})
export type Driven = typeof Driven.Type
