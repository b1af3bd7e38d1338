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

/** The id that a client sent, in lower case; None where the text is not a UUID. */
export const parseId = <Id extends string>(
  schema: Schema.Schema<Id, string>,
  text: string,
): Option.Option<Id> => Schema.decodeOption(schema)(text.toLowerCase())

/** A new random id: `newId(TurnId)`. */
export const newId = <Id>(schema: { readonly make: (text: string) => Id }): Id =>
  schema.make(crypto.randomUUID())

/** A time; in JSON as ISO 8601 in UTC. */
export const Time = Schema.Date.annotations({ jsonSchema: { type: "string", format: "date-time" } })

/** The three stages of a turn that call a provider: speech to text, language model, text to speech. */
export const Stage = Schema.Literal("stt", "llm", "tts")
export type Stage = typeof Stage.Type

/** How a reply is delivered: one continuous MP3, 24 kHz mono 16-bit little-endian samples, or as text only. */
export const SpeechFormat = Schema.Literal("mp3", "pcm", "none")
export type SpeechFormat = typeof SpeechFormat.Type

const Milliseconds = Schema.NonNegativeInt

/**
 * Milliseconds. `upload`: from the request's headers to the end of its body. `validate`, `transcode`, `stt`: the
 * duration of the stage. `llmTtft`: from the request to the model to its first token. `ttsTtfb`: from the request for
 * the first segment's speech to its first byte. `firstAudio`, `total`: from the end of the upload; `total` ends with
 * the last audio.
 */
export const Timings = Schema.Struct({
  upload: Milliseconds,
  validate: Milliseconds,
  transcode: Milliseconds,
  stt: Milliseconds,
  llmTtft: Milliseconds,
  ttsTtfb: Milliseconds,
  firstAudio: Milliseconds,
  total: Milliseconds,
})
export type Timings = typeof Timings.Type

/** What a turn consumed. Tokens as the provider counts them, or estimated at 4 characters a token. */
export const Usage = Schema.Struct({
  audioSeconds: Schema.Number,
  inputTokens: Schema.NonNegativeInt,
  outputTokens: Schema.NonNegativeInt,
  charactersSpoken: Schema.NonNegativeInt,
})
export type Usage = typeof Usage.Type
