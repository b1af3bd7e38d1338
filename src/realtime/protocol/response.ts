import { Either, Schema } from "effect"
import { betaFault, betaResponse } from "./beta.ts"
import type { ProtocolError } from "./errors.ts"
import {
  AudioFormat,
  Instructions,
  MaxOutputTokens,
  Metadata,
  maybe,
  maybeNull,
  OutputModalities,
  Prompt,
  Reasoning,
  ToolChoice,
  Tools,
  Voice,
} from "./fields.ts"
import { makeDecoder } from "./issues.ts"
import { checkInputItem, InputItem } from "./items.ts"
import { isObject } from "./json.ts"
import type { OutputConfig, RealtimeConfig } from "./session-config.ts"
import { checkTools } from "./tools.ts"
import { mergeAnswer, mergeOutput, type UpdateFacts } from "./update-config.ts"

const ResponseParams = Schema.Struct({
  instructions: maybe(Instructions),
  output_modalities: maybe(OutputModalities),
  audio: maybe(
    Schema.Struct({
      output: maybe(Schema.Struct({ format: maybe(AudioFormat), voice: maybe(Voice) })),
    }),
  ),
  tools: maybe(Tools),
  tool_choice: maybe(ToolChoice),
  max_output_tokens: maybe(MaxOutputTokens),
  metadata: maybeNull(Metadata),
  prompt: maybeNull(Prompt),
  conversation: maybe(Schema.Literal("auto", "none")),
  input: maybe(Schema.Array(InputItem).pipe(Schema.maxItems(1_000))),
  parallel_tool_calls: maybe(Schema.Boolean),
  reasoning: maybeNull(Reasoning),
})
/** The `response` of `response.create`. Absent fields are the session's. */
export type ResponseParams = typeof ResponseParams.Type

const decode = makeDecoder(ResponseParams)

export const readResponseParams = (value: unknown): Either.Either<ResponseParams, ProtocolError> => {
  const fault = betaFault(value, betaResponse, "response") ?? checkTools(value, "response")
  if (fault !== undefined) return Either.left(fault)
  const input = isObject(value) ? value.input : undefined
  if (Array.isArray(input)) {
    for (const [at, item] of input.entries()) {
      const checked = checkInputItem(item, `response.input[${at}]`)
      if (Either.isLeft(checked)) return Either.left(checked.left)
    }
  }
  return decode(value, "response")
}

/** The settings of one response, complete. */
export interface ResponseConfig
  extends Pick<
    RealtimeConfig,
    | "instructions"
    | "output_modalities"
    | "tools"
    | "tool_choice"
    | "max_output_tokens"
    | "parallel_tool_calls"
  > {
  readonly audio: { readonly output: Pick<OutputConfig, "format" | "voice"> }
  /** Shown in `response.created` and `response.done` as it came. */
  readonly metadata: Readonly<Record<string, string>> | null
  /** False: out of band. The response is not a part of the conversation. */
  readonly inConversation: boolean
  /** Replaces the history in the prompt. Absent: the conversation's history. */
  readonly input?: ReadonlyArray<InputItem>
}

/** The settings of a response: the session's, with those of its `response.create`. */
export const responseConfig = (
  session: RealtimeConfig,
  params: ResponseParams,
  facts: UpdateFacts,
): Either.Either<ResponseConfig, ProtocolError> =>
  Either.gen(function* () {
    const inConversation = params.conversation !== "none"
    const output = yield* mergeOutput(session.audio.output, params.audio?.output ?? {}, {
      ...facts,
      // Out of band, nothing else is heard: another voice is no change of the conversation's.
      hasAudio: facts.hasAudio && inConversation,
    })
    return {
      ...(yield* mergeAnswer(session, params, "response")),
      audio: { output },
      metadata: params.metadata ?? null,
      inConversation,
      ...(params.input === undefined ? {} : { input: params.input }),
    }
  })
