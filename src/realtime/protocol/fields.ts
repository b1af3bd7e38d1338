import { Schema } from "effect"

/** A field that may be absent. JSON has no `undefined`. */
export const maybe = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { exact: true })
/** A field that may be absent; null, which some clients send for an absent value, counts as absent where it is read. */
export const maybeNull = <A, I>(schema: Schema.Schema<A, I>) => maybe(Schema.NullOr(schema))

export const text = (maxLength: number) => Schema.String.pipe(Schema.maxLength(maxLength))
/** An integer from `minimum` to `maximum`. */
export const integer = (minimum: number, maximum: number) =>
  Schema.Number.pipe(
    Schema.filter((value) => Number.isInteger(value) && value >= minimum && value <= maximum, {
      jsonSchema: { type: "integer", minimum, maximum },
    }),
  )
export const decimal = (minimum: number, maximum: number) =>
  Schema.Number.pipe(
    Schema.filter((value) => value >= minimum && value <= maximum, { jsonSchema: { minimum, maximum } }),
  )

/** The `previous_item_id` that stands for the start of the conversation. */
export const rootId = "root"

/** An item's id, as a client may choose it. */
export const ClientItemId = Schema.String.pipe(
  Schema.maxLength(64),
  Schema.pattern(/^[\x21-\x7e]+$/, { description: "1 to 64 visible ASCII characters" }),
  Schema.filter((id) => id !== rootId, {
    description: `another id: '${rootId}' stands for the start of the conversation`,
  }),
)
/** Servers of language models refuse other characters. */
export const CallId = Schema.String.pipe(
  Schema.maxLength(64),
  Schema.pattern(/^[a-zA-Z0-9_-]+$/, { description: "letters, digits, '_' and '-'" }),
)
const ToolName = Schema.String.pipe(
  Schema.maxLength(64),
  Schema.pattern(/^[a-zA-Z0-9_-]+$/, { description: "letters, digits, '_' and '-'" }),
)

/** PCM is 24 kHz mono 16-bit little-endian, G.711 is 8 kHz with one byte a sample. */
export const AudioFormat = Schema.Union(
  Schema.Struct({ type: Schema.Literal("audio/pcm"), rate: maybe(Schema.Literal(24_000)) }),
  Schema.Struct({ type: Schema.Literal("audio/pcmu"), rate: maybe(Schema.Literal(8_000)) }),
  Schema.Struct({ type: Schema.Literal("audio/pcma"), rate: maybe(Schema.Literal(8_000)) }),
)

export const Voice = Schema.Union(text(256), Schema.Struct({ id: text(256) }))

/** One of the two: audio always comes with its transcript. */
export const OutputModalities = Schema.Array(Schema.Literal("audio", "text")).pipe(
  Schema.filter((list) => list.length === 1, {
    description: '["audio"] or ["text"]; audio always comes with its transcript',
  }),
)

const JsonSchemaObject = Schema.Record({ key: Schema.String, value: Schema.Unknown })

export const Tool = Schema.Struct({
  type: Schema.Literal("function"),
  name: ToolName,
  description: maybe(text(1024)),
  parameters: maybe(JsonSchemaObject),
})
export type Tool = typeof Tool.Type

export const Tools = Schema.Array(Tool).pipe(Schema.maxItems(128))

/** A bare string that is none of the three modes is the name of a function. */
export const ToolChoice = Schema.Union(
  text(64),
  Schema.Struct({ type: Schema.Literal("function"), name: ToolName }),
)

export const MaxOutputTokens = Schema.Union(integer(1, 4096), Schema.Literal("inf"))

export const Metadata = Schema.Record({ key: Schema.String, value: text(512) }).pipe(
  Schema.filter(
    (pairs) => Object.keys(pairs).length <= 16 && Object.keys(pairs).every((key) => key.length <= 64),
    { description: "at most 16 pairs, with keys of at most 64 characters" },
  ),
)

export const Prompt = Schema.Struct({
  id: text(256),
  version: maybeNull(text(256)),
  variables: maybeNull(JsonSchemaObject),
})

export const Reasoning = Schema.Struct({
  effort: maybeNull(Schema.Literal("none", "minimal", "low", "medium", "high", "xhigh")),
})

export const Instructions = text(262_144)
