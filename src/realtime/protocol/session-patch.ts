import { Either, Schema } from "effect"
import { betaFault, betaSession } from "./beta.ts"
import type { ProtocolError } from "./errors.ts"
import {
  AudioFormat,
  decimal,
  Instructions,
  integer,
  MaxOutputTokens,
  maybe,
  maybeNull,
  OutputModalities,
  Prompt,
  Reasoning,
  ToolChoice,
  Tools,
  text,
  Voice,
} from "./fields.ts"
import { makeDecoder } from "./issues.ts"
import { checkShape, isObject } from "./json.ts"
import { checkTools } from "./tools.ts"

const Transcription = Schema.Struct({
  model: maybeNull(text(256)),
  language: maybeNull(
    Schema.String.pipe(
      Schema.pattern(/^(?:[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*)?$/, {
        description: "an ISO 639-1 code such as 'en'",
      }),
    ),
  ),
  prompt: maybeNull(text(16_384)),
  delay: maybeNull(text(64)),
  keywords: maybeNull(Schema.Array(text(256)).pipe(Schema.maxItems(1_000))),
  languages: maybeNull(Schema.Array(text(64)).pipe(Schema.maxItems(100))),
})

const NoiseReduction = Schema.Struct({
  type: maybe(Schema.Literal("near_field", "far_field")),
  strength: maybe(decimal(0, 1)),
})

/** The fields of both kinds of turn detection. Which of them the kind in force has is checked by the update. */
const TurnDetection = Schema.Struct({
  type: maybe(Schema.Literal("server_vad", "semantic_vad")),
  threshold: maybe(decimal(0, 1)),
  prefix_padding_ms: maybe(integer(0, 10_000)),
  silence_duration_ms: maybe(integer(0, 60_000)),
  idle_timeout_ms: maybeNull(integer(5_000, 3_600_000)),
  eagerness: maybe(Schema.Literal("low", "medium", "high", "auto")),
  create_response: maybe(Schema.Boolean),
  interrupt_response: maybe(Schema.Boolean),
})
export type TurnDetectionPatch = typeof TurnDetection.Type

const AudioInput = Schema.Struct({
  format: maybe(AudioFormat),
  transcription: maybeNull(Transcription),
  noise_reduction: maybeNull(NoiseReduction),
  turn_detection: maybeNull(TurnDetection),
})

const AudioOutput = Schema.Struct({
  format: maybe(AudioFormat),
  voice: maybe(Voice),
  speed: maybe(decimal(0.25, 1.5)),
})

const RetentionRatio = Schema.Struct({
  type: Schema.Literal("retention_ratio"),
  retention_ratio: decimal(0, 1),
  token_limits: maybeNull(Schema.Struct({ post_instructions: maybe(integer(0, 1_000_000)) })),
})

const Tracing = Schema.Union(
  Schema.Literal("auto"),
  Schema.Struct({
    workflow_name: maybe(text(1_024)),
    group_id: maybe(text(1_024)),
    metadata: maybe(Schema.Record({ key: Schema.String, value: Schema.Unknown })),
  }),
)

/** The fields of a session that a client sets. Absent ones stay as they are. */
export const SessionPatch = Schema.Struct({
  type: maybe(Schema.Literal("realtime", "transcription")),
  model: maybe(text(256)),
  instructions: maybe(Instructions),
  output_modalities: maybe(OutputModalities),
  audio: maybe(Schema.Struct({ input: maybe(AudioInput), output: maybe(AudioOutput) })),
  tools: maybe(Tools),
  tool_choice: maybe(ToolChoice),
  max_output_tokens: maybe(MaxOutputTokens),
  truncation: maybe(Schema.Union(Schema.Literal("auto", "disabled"), RetentionRatio)),
  include: maybeNull(Schema.Array(Schema.Literal("item.input_audio_transcription.logprobs"))),
  tracing: maybeNull(Tracing),
  prompt: maybeNull(Prompt),
  parallel_tool_calls: maybe(Schema.Boolean),
  reasoning: maybeNull(Reasoning),
})
export type SessionPatch = typeof SessionPatch.Type

const decode = makeDecoder(SessionPatch)

/** Reads the `session` of `session.update` and of a client secret. */
export const readSessionPatch = (value: unknown): Either.Either<SessionPatch, ProtocolError> => {
  // A client secret's session has not passed the check of a message.
  const shape = isObject(value) ? checkShape(value) : Either.void
  const fault = betaFault(value, betaSession, "session") ?? checkTools(value, "session")
  return Either.flatMap(shape, () => (fault === undefined ? decode(value, "session") : Either.left(fault)))
}
