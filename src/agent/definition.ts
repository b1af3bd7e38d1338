import { Option, Schema } from "effect"
import { storable } from "../conversation/model.ts"
import { ToolDefinition } from "../tools/defined-tools.ts"
import { OptionalToolParameters, ToolDescription, ToolName } from "../tools/http/definition.ts"

/** Characters as PostgreSQL counts them. */
const text = (min: number, max: number) =>
  Schema.String.pipe(
    Schema.filter(
      (value) => {
        const { length } = value.length > 2 * max ? value : [...value]
        return (length >= min && length <= max) || `must have ${min} to ${max} characters`
      },
      { jsonSchema: { type: "string", minLength: min, maxLength: max } },
    ),
    Schema.filter(storable),
  )

const Name = Schema.Trim.pipe(
  Schema.filter((name) => /^\P{C}+$/u.test(name) && [...name].length <= 100, {
    jsonSchema: { type: "string", minLength: 1, maxLength: 100 },
    message: () => "must have 1 to 100 characters, without control or invisible characters",
  }),
)

/** A name of a model or a voice. The operator's lists say which there are. */
const Choice = text(1, 200)

const optional = <A, I>(schema: Schema.Schema<A, I>, description: string) =>
  Schema.optionalWith(schema.annotations({ description }), { exact: true })

const upTo = (min: number, max: number) =>
  Schema.Int.pipe(
    Schema.between(min, max, {
      message: () => ({ message: `must be a whole number from ${min} to ${max}`, override: true }),
    }),
  )

/** A function that the client runs. */
const ClientTool = Schema.Struct({
  type: Schema.Literal("client"),
  name: ToolName,
  description: ToolDescription,
  parameters: OptionalToolParameters,
})

/** A tool that the service brings along. */
const BuiltInTool = Schema.Struct({
  type: Schema.Literal("builtin"),
  name: ToolName.annotations({ description: "One that the operator has turned on." }),
})

/** What an agent can do. */
export const AgentTool = Schema.Union(...ToolDefinition.members, ClientTool, BuiltInTool)
export type AgentTool = typeof AgentTool.Type

/** In characters of JSON. Bounds a page of versions. */
const maxDefinitionLength = 65_536

const duplicate = (names: ReadonlyArray<string>) =>
  Option.liftPredicate(
    names.findIndex((name, at) => names.indexOf(name) !== at),
    (at) => at >= 0,
  )

/** The fields of an agent that its owner sets. One that is absent has the operator's setting. */
export const agentFields = {
  name: Name.annotations({ description: "1 to 100 characters. Each of your agents has another name." }),
  instructions: optional(
    text(0, 32_768),
    "The system prompt. `{{name}}` is a value of the session's metadata, `{{name | text}}` has a fallback.",
  ),
  greeting: optional(
    text(1, 1000),
    "What the agent says first in a new Realtime conversation. `{{name}}` as in the instructions.",
  ),
  languages: Schema.optionalWith(
    Schema.Array(
      Schema.String.pipe(
        Schema.pattern(/^[a-z]{2,3}$/, {
          message: () => ({ message: "must be an ISO 639-1 code such as en", override: true }),
        }),
      ),
    ).pipe(Schema.maxItems(20)),
    { exact: true, default: () => [] },
  ).annotations({
    description: "ISO 639-1. One: recordings are transcribed as this language. Several: it is detected.",
  }),
  stt: optional(Schema.Struct({ model: optional(Choice, "One of the operator's.") }), "Speech to text."),
  llm: optional(
    Schema.Struct({
      model: optional(Choice, "One of the operator's."),
      temperature: optional(Schema.Number.pipe(Schema.between(0, 2)), "From 0 to 2."),
    }),
    "The language model.",
  ),
  tts: optional(
    Schema.Struct({
      model: optional(Choice, "One of the operator's."),
      voice: optional(Choice, "One of the operator's."),
    }),
    "Text to speech.",
  ),
  limits: optional(
    Schema.Struct({
      replyTokens: optional(upTo(1, 100_000), "Of a reply. At most the operator's LLM_MAX_TOKENS."),
      contextMessages: optional(upTo(0, 1000), "At most the operator's CONTEXT_MESSAGES."),
      contextTokens: optional(upTo(0, 1_000_000), "At most the operator's CONTEXT_TOKENS."),
      toolRounds: optional(upTo(2, 50), "At most the operator's TOOL_MAX_ROUNDS."),
      toolSeconds: optional(
        Schema.Number.pipe(Schema.between(0.1, 600)),
        "Of one call. At most the operator's TOOL_TIMEOUT_SECONDS.",
      ),
    }),
    "Bounds below the operator's.",
  ),
  tools: Schema.optionalWith(
    Schema.Array(AgentTool).pipe(
      Schema.maxItems(32),
      Schema.filter((tools) =>
        Option.match(duplicate(tools.map(({ type, name }) => (type === "mcp" ? `${name}__` : name))), {
          onNone: () => undefined,
          onSome: (at) => ({ path: [at, "name"], message: "is the name of another tool of the agent" }),
        }),
      ),
    ),
    { exact: true, default: () => [] },
  ).annotations({ description: "What the agent can do." }),
  keyTerms: Schema.optionalWith(Schema.Array(text(1, 100)).pipe(Schema.maxItems(100)), {
    exact: true,
    default: () => [],
  }).annotations({ description: "Names and terms that the recognizer should expect." }),
}

/** What the owner of an agent defines. Unknown fields are refused: they may be misspelt ones. */
export const AgentDefinition = Schema.Struct(agentFields).pipe(
  Schema.filter((definition) => JSON.stringify(definition).length <= maxDefinitionLength, {
    message: () => "must have at most 64 KB as JSON",
  }),
)
export type AgentDefinition = typeof AgentDefinition.Type
