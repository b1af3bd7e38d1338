import { Either } from "effect"
import { invalidRequest, type ProtocolError } from "./errors.ts"
import type { AudioFormat as FormatPatch, Voice } from "./fields.ts"
import {
  type AudioFormat,
  defaultVad,
  type InputConfig,
  type OutputConfig,
  type RealtimeConfig,
  type SessionConfig,
  type TranscriptionConfig,
  type TurnDetection,
} from "./session-config.ts"
import type { SessionPatch, TurnDetectionPatch } from "./session-patch.ts"
import { keepToolChoice, resolveToolChoice } from "./tools.ts"

/** What an update depends on besides the configuration. */
export interface UpdateFacts {
  /** The conversation has assistant audio: the voice can no longer change. */
  readonly hasAudio: boolean
  /** Voices that a client may choose. Another one is not refused, it leaves the voice as it is. */
  readonly voices: ReadonlyArray<string>
  /** The server's model, shown where a client turns transcription on. */
  readonly transcriptionModel: string
}

type Result<A> = Either.Either<A, ProtocolError>
type InputPatch = NonNullable<NonNullable<SessionPatch["audio"]>["input"]>
type OutputPatch = NonNullable<NonNullable<SessionPatch["audio"]>["output"]>

const toFormat = (format: typeof FormatPatch.Type): AudioFormat =>
  format.type === "audio/pcm" ? { type: format.type, rate: 24_000 } : { type: format.type }

/** The voice in force: the one asked for if a client may choose it. */
const chooseVoice = (
  asked: typeof Voice.Type | undefined,
  current: string,
  facts: UpdateFacts,
): Result<string> => {
  const wanted = typeof asked === "object" ? asked.id : asked
  const voice = wanted !== undefined && facts.voices.includes(wanted) ? wanted : current
  return voice !== current && facts.hasAudio
    ? Either.left(
        invalidRequest(
          "cannot_update_voice",
          "Cannot update a conversation's voice if assistant audio is present.",
        ),
      )
    : Either.right(voice)
}

const vadPath = "session.audio.input.turn_detection"
const fieldsOf = {
  server_vad: ["threshold", "prefix_padding_ms", "silence_duration_ms", "idle_timeout_ms"],
  semantic_vad: ["eagerness"],
} as const

/** Without a type, the patch is for the kind in force. Another kind starts with its own defaults. */
const mergeVad = (current: TurnDetection | null, patch: TurnDetectionPatch): Result<TurnDetection> => {
  const type = patch.type ?? current?.type ?? "server_vad"
  const foreign = fieldsOf[type === "server_vad" ? "semantic_vad" : "server_vad"].find(
    (field) => patch[field] !== undefined && patch[field] !== null,
  )
  if (foreign !== undefined) {
    return Either.left(
      invalidRequest(
        "unknown_parameter",
        `Unknown parameter: '${vadPath}.${foreign}'. Turn detection of type '${type}' does not have it.`,
        `${vadPath}.${foreign}`,
      ),
    )
  }
  const shared = {
    create_response: patch.create_response ?? current?.create_response ?? true,
    interrupt_response: patch.interrupt_response ?? current?.interrupt_response ?? true,
  }
  if (type === "semantic_vad") {
    const before = current?.type === type ? current.eagerness : "auto"
    return Either.right({ type, eagerness: patch.eagerness ?? before, ...shared })
  }
  const before = current?.type === type ? current : defaultVad
  return Either.right({
    type,
    threshold: patch.threshold ?? before.threshold,
    prefix_padding_ms: patch.prefix_padding_ms ?? before.prefix_padding_ms,
    silence_duration_ms: patch.silence_duration_ms ?? before.silence_duration_ms,
    idle_timeout_ms: patch.idle_timeout_ms === undefined ? before.idle_timeout_ms : patch.idle_timeout_ms,
    ...shared,
  })
}

/** A field that is null is removed. */
const mergeTranscription = (
  current: TranscriptionConfig,
  patch: NonNullable<InputPatch["transcription"]>,
): TranscriptionConfig => {
  const language = patch.language === undefined ? current.language : (patch.language ?? "")
  const prompt = patch.prompt === undefined ? current.prompt : patch.prompt
  const delay = patch.delay === undefined ? current.delay : patch.delay
  const keywords = patch.keywords === undefined ? current.keywords : patch.keywords
  const languages = patch.languages === undefined ? current.languages : patch.languages
  return {
    model: current.model,
    ...(language === undefined || language === "" ? {} : { language }),
    ...(prompt === undefined || prompt === null ? {} : { prompt }),
    ...(delay === undefined || delay === null ? {} : { delay }),
    ...(keywords === undefined || keywords === null ? {} : { keywords }),
    ...(languages === undefined || languages === null ? {} : { languages }),
  }
}

const mergeInput = (current: InputConfig, patch: InputPatch, facts: UpdateFacts): Result<InputConfig> => {
  const { turn_detection: vad, transcription, noise_reduction: noise } = patch
  const detection =
    vad === undefined || vad === null
      ? Either.right(vad === null ? null : current.turn_detection)
      : mergeVad(current.turn_detection, vad)
  return Either.map(detection, (turn_detection) => ({
    format: patch.format === undefined ? current.format : toFormat(patch.format),
    transcription:
      transcription === undefined || transcription === null
        ? transcription === null
          ? null
          : current.transcription
        : mergeTranscription(current.transcription ?? { model: facts.transcriptionModel }, transcription),
    noise_reduction:
      noise === undefined || noise === null
        ? noise === null
          ? null
          : current.noise_reduction
        : { ...current.noise_reduction, ...noise },
    turn_detection,
  }))
}

/** The settings of a session that a single response may have otherwise. */
type AnswerConfig = Pick<
  RealtimeConfig,
  "instructions" | "output_modalities" | "tools" | "tool_choice" | "max_output_tokens" | "parallel_tool_calls"
>
type AnswerPatch = Pick<SessionPatch, keyof AnswerConfig>

/** `path`: where the patch stands in its event. */
export const mergeAnswer = (
  current: AnswerConfig,
  patch: AnswerPatch,
  path: "session" | "response",
): Result<AnswerConfig> => {
  const tools = patch.tools ?? current.tools
  const choice =
    patch.tool_choice === undefined
      ? Either.right(keepToolChoice(current.tool_choice, tools))
      : resolveToolChoice(patch.tool_choice, tools, `${path}.tool_choice`)
  const { parallel_tool_calls = current.parallel_tool_calls, output_modalities: modalities } = patch
  return Either.map(choice, (tool_choice) => ({
    instructions: patch.instructions ?? current.instructions,
    output_modalities:
      modalities === undefined
        ? current.output_modalities
        : modalities.includes("text")
          ? ["text"]
          : ["audio"],
    tools,
    tool_choice,
    max_output_tokens: patch.max_output_tokens ?? current.max_output_tokens,
    ...(parallel_tool_calls === undefined ? {} : { parallel_tool_calls }),
  }))
}

export const mergeOutput = (
  current: Pick<OutputConfig, "format" | "voice">,
  patch: Pick<OutputPatch, "format" | "voice">,
  facts: UpdateFacts,
): Result<Pick<OutputConfig, "format" | "voice">> =>
  Either.map(chooseVoice(patch.voice, current.voice, facts), (voice) => ({
    format: patch.format === undefined ? current.format : toFormat(patch.format),
    voice,
  }))

const updateRealtime = (
  config: RealtimeConfig,
  patch: SessionPatch,
  facts: UpdateFacts,
): Result<RealtimeConfig> =>
  Either.gen(function* () {
    const { reasoning = config.reasoning } = patch
    return {
      type: "realtime",
      model: config.model,
      ...(yield* mergeAnswer(config, patch, "session")),
      audio: {
        input: yield* mergeInput(config.audio.input, patch.audio?.input ?? {}, facts),
        output: {
          ...(yield* mergeOutput(config.audio.output, patch.audio?.output ?? {}, facts)),
          speed: 1,
        },
      },
      truncation: "auto",
      include: patch.include === undefined ? config.include : patch.include,
      tracing: patch.tracing === undefined ? config.tracing : patch.tracing,
      prompt: patch.prompt === undefined ? config.prompt : patch.prompt,
      ...(reasoning === undefined ? {} : { reasoning }),
    }
  })

const transcriptionFields: ReadonlyArray<string> = ["type", "audio", "include"]

/** The first field of the patch that a transcription session does not have. */
const transcriptionFault = (patch: SessionPatch): ProtocolError | undefined => {
  if (patch.model !== undefined) {
    return invalidRequest(
      null,
      "You must not provide a model parameter for transcription sessions.",
      "session.model",
    )
  }
  const foreign =
    Object.keys(patch).find((field) => !transcriptionFields.includes(field)) ??
    (patch.audio?.output === undefined ? undefined : "audio.output")
  return foreign === undefined
    ? undefined
    : invalidRequest(
        "unknown_parameter",
        `Unknown parameter: 'session.${foreign}'. A transcription session does not have it.`,
        `session.${foreign}`,
      )
}

/**
 * The configuration after a `session.update`: a deep merge, in which absent fields stay, null switches off and lists are
 * replaced. All or nothing: an error leaves the configuration as it is.
 */
export const updateConfig = (
  config: SessionConfig,
  patch: SessionPatch,
  facts: UpdateFacts,
): Result<SessionConfig> => {
  if (patch.type !== undefined && patch.type !== config.type) {
    return Either.left(
      invalidRequest(
        null,
        `Passing a ${patch.type} session update event to a ${config.type} session is not allowed.`,
        "session.type",
      ),
    )
  }
  if (config.type === "realtime") return updateRealtime(config, patch, facts)
  const fault = transcriptionFault(patch)
  if (fault !== undefined) return Either.left(fault)
  return Either.map(mergeInput(config.audio.input, patch.audio?.input ?? {}, facts), (input) => ({
    type: config.type,
    // Transcripts are all that this session gives, so null leaves them on.
    audio: { input: { ...input, transcription: input.transcription ?? config.audio.input.transcription } },
    include: patch.include === undefined ? config.include : patch.include,
  }))
}
