import { type Option, Schema } from "effect"

/** Ids are UUIDs, in lower case; the brand keeps one kind from being passed for another. */
const id = <const Brand extends string>(brand: Brand) => Schema.UUID.pipe(Schema.brand(brand))

export const UserId = id("UserId")
export type UserId = typeof UserId.Type
export const ApiKeyId = id("ApiKeyId")
export type ApiKeyId = typeof ApiKeyId.Type
export const SessionId = id("SessionId")
export type SessionId = typeof SessionId.Type
export const TurnId = id("TurnId")
export type TurnId = typeof TurnId.Type
export const ItemId = id("ItemId")
export type ItemId = typeof ItemId.Type
export const MemoryId = id("MemoryId")
export type MemoryId = typeof MemoryId.Type
export const AgentId = id("AgentId")
export type AgentId = typeof AgentId.Type
/** The id of the agent of the configuration. */
export const configuredId = "default" as const
/** The id of an agent as clients see it. */
export const ShownAgentId = Schema.Union(Schema.Literal(configuredId), AgentId)
export const WebhookId = id("WebhookId")
export type WebhookId = typeof WebhookId.Type
export const DeliveryId = id("DeliveryId")
export type DeliveryId = typeof DeliveryId.Type

/** The id that a client sent, in lower case. None if the text is not a UUID. */
export const parseId = <Id extends string>(
  schema: Schema.Schema<Id, string>,
  text: string,
): Option.Option<Id> => Schema.decodeOption(schema)(text.toLowerCase())

/** A new random id: `newId(TurnId)`. */
export const newId = <Id>(schema: { readonly make: (text: string) => Id }): Id =>
  schema.make(crypto.randomUUID())

/** A position in a list that is none of it: a cursor, or the id of an entry that is not there, or not any more. */
export class UnknownPosition extends Schema.TaggedError<UnknownPosition>()("UnknownPosition", {
  /** The parameter. */
  field: Schema.Literal("cursor", "before"),
  is: Schema.Literal("cursor", "message id", "delivery id"),
}) {
  static readonly cursor = () => new UnknownPosition({ field: "cursor", is: "cursor" })
}

/** A time; in JSON as ISO 8601 in UTC. */
export const Time = Schema.Date.annotations({ jsonSchema: { type: "string", format: "date-time" } })

/** A day, or a time with its zone: without one, two servers could read two different times. */
export const iso8601 = /^(\d{4}-\d\d-\d\d)(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d))?$/

/** A day such as 2026-01-31. Some engines read 30 February as 2 March. */
export const isDay = (text: string): boolean =>
  /^\d{4}-\d\d-\d\d$/.test(text) &&
  !Number.isNaN(Date.parse(text)) &&
  new Date(text).toISOString().startsWith(text)

/** A text of that form that is a time. */
export const isTime = (text: string): boolean => {
  const [, day = ""] = iso8601.exec(text) ?? []
  return isDay(day) && !Number.isNaN(Date.parse(text))
}

/** The three stages of a turn that call a provider: speech to text, language model, text to speech. */
export const Stage = Schema.Literal("stt", "llm", "tts")
export type Stage = typeof Stage.Type

/** How a reply is delivered: one continuous MP3, 24 kHz mono 16-bit little-endian samples, or as text only. */
export const SpeechFormat = Schema.Literal("mp3", "pcm", "none")
export type SpeechFormat = typeof SpeechFormat.Type

/** `example` is a typical value, which the API's documentation shows. */
const milliseconds = (description: string, example: number) =>
  Schema.NonNegativeInt.annotations({ description, examples: [example] })

/** How long the parts of a turn took, in the order in which they end. */
export const Timings = Schema.Struct({
  upload: milliseconds("From the request's headers to the end of its body.", 41),
  validate: milliseconds("The check of the recording.", 1),
  transcode: milliseconds("The conversion of the recording to 16 kHz samples.", 24),
  stt: milliseconds("The transcription.", 412),
  llmTtft: milliseconds("From the request to the language model to its first token.", 231),
  ttsTtfb: milliseconds("From the request for the first segment's speech to its first byte.", 305),
  firstAudio: milliseconds("From the end of the upload to the first audio.", 1002),
  total: milliseconds("From the end of the upload to the last audio.", 1840),
}).annotations({ description: "How long the parts of a turn took, in milliseconds." })
export type Timings = typeof Timings.Type

const count = (description: string, example: number) =>
  Schema.NonNegativeInt.annotations({ description, examples: [example] })

/** What a turn consumed. */
export const Usage = Schema.Struct({
  audioSeconds: Schema.Number.annotations({
    description: "The length of the recording, in seconds.",
    examples: [2.1],
  }),
  inputTokens: count(
    "Tokens of the prompts that were sent. Estimated at 4 characters a token where the provider sends no count.",
    61,
  ),
  outputTokens: count("Tokens that the model wrote, counted or estimated in the same way.", 8),
  charactersSpoken: count("Characters sent to speech synthesis.", 22),
}).annotations({ description: "What a turn consumed." })
export type Usage = typeof Usage.Type

/** What a turn consumed, and what that cost. */
export const PricedUsage = Schema.Struct({
  ...Usage.fields,
  cost: Schema.NullOr(Schema.Number).annotations({
    description:
      "What the turn cost, by the operator's prices when it ran. Null if a model without a price answered.",
    examples: [0.00123],
  }),
  currency: Schema.String.annotations({
    description: "The currency of the cost, as an ISO 4217 code.",
    examples: ["USD"],
  }),
}).annotations({ description: "What a turn consumed, and what that cost." })

export const noUsage: Usage = { audioSeconds: 0, inputTokens: 0, outputTokens: 0, charactersSpoken: 0 }

/** Not a `Schema.Record`, which copies the object and loses a member named `__proto__`. */
export const JsonObject = Schema.declare(
  (value): value is Readonly<Record<string, unknown>> =>
    typeof value === "object" && value !== null && !Array.isArray(value),
  { message: () => "must be an object", jsonSchema: { type: "object" } },
)
