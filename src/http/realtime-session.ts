/** The session of a Realtime connection as the OpenAPI document describes it. src/realtime validates it. */
import { Predicate } from "effect"
import { SessionPatch } from "../realtime/protocol/session-patch.ts"
import { JsonObject } from "../schema.ts"
import { type JsonSchema, toJsonSchema } from "./openapi/json-schema.ts"

const echoed = "Echoed, without an effect."

/** By dotted path. */
const descriptions = {
  type: "`transcription`: speech is transcribed, and nothing replies.",
  model: "The server's. A client's model is accepted and ignored.",
  instructions: "For the model. The operator's by default.",
  output_modalities: '`["audio"]`, the default, or `["text"]`. Audio always has its transcript.',
  "audio.input.format": "24 kHz PCM by default: mono, 16-bit, little-endian. G.711 has 8 kHz.",
  "audio.input.transcription":
    "An object, `{}` too, turns on the transcription events of the user's speech. Null, the default, turns them off.",
  "audio.input.transcription.language": "ISO 639-1. The other fields are echoed, without an effect.",
  "audio.input.noise_reduction": echoed,
  "audio.input.turn_detection": "Null: the client commits its turns. `server_vad` by default.",
  "audio.input.turn_detection.silence_duration_ms": "Silence that ends a turn, in ms. 500 by default.",
  "audio.input.turn_detection.prefix_padding_ms":
    "Audio before the speech that counts, in ms. 300 by default.",
  "audio.input.turn_detection.threshold": "The probability that counts as speech. 0.5 by default.",
  "audio.input.turn_detection.idle_timeout_ms":
    "The service speaks when the user has said nothing for so long, in ms. Null, the default: it does not.",
  "audio.input.turn_detection.eagerness": "Of `semantic_vad`.",
  "audio.input.turn_detection.create_response": "A response begins at the end of speech. True by default.",
  "audio.input.turn_detection.interrupt_response": "Speech interrupts a response. True by default.",
  "audio.output.format": "As that of the input.",
  "audio.output.voice": "One that the operator offers. Another one is accepted, and the voice stays.",
  "audio.output.speed": "Accepted. It stays 1.",
  tools: "Functions that the model may call and the client runs.",
  tool_choice: "`auto`, `none`, `required`, or a function.",
  max_output_tokens: "Of each response.",
  truncation: "Accepted. It stays `auto`: the server drops the oldest turns from the prompt.",
  include: echoed,
  tracing: echoed,
  prompt: echoed,
  parallel_tool_calls: echoed,
  reasoning: echoed,
}

const objects = (value: unknown): ReadonlyArray<JsonSchema> =>
  Array.isArray(value) ? value.filter(Predicate.isRecord) : []

/** The schema with a description of the field at `path`, which may be null. Throws if it has no such field. */
const describe = (schema: JsonSchema, path: ReadonlyArray<string>, description: string): JsonSchema => {
  const [name, ...more] = path
  if (name === undefined) return { ...schema, description }
  const { properties, anyOf } = schema
  const field = Predicate.isRecord(properties) ? properties[name] : undefined
  if (Predicate.isRecord(properties) && Predicate.isRecord(field)) {
    return { ...schema, properties: { ...properties, [name]: describe(field, more, description) } }
  }
  const members = objects(anyOf)
  const at = members.findIndex(({ properties }) => Predicate.isRecord(properties) && name in properties)
  const member = members[at]
  if (member === undefined) throw new Error(`the session has no field ${path.join(".")}`)
  return { ...schema, anyOf: members.with(at, describe(member, path, description)) }
}

/** What the service adds. A client that sends one of these is refused. */
const shown: JsonSchema = {
  id: { type: "string", readOnly: true, description: "In responses alone: the id of the session." },
  object: {
    type: "string",
    enum: ["realtime.session", "realtime.transcription_session"],
    readOnly: true,
    description: "In responses alone.",
  },
  expires_at: {
    type: "integer",
    readOnly: true,
    description: "In responses alone: when the connection reaches its longest duration, in Unix seconds.",
  },
}

const settable = Object.entries(descriptions).reduce(
  (schema, [path, text]) => describe(schema, path.split("."), text),
  toJsonSchema(SessionPatch),
)

const described: JsonSchema = {
  ...settable,
  properties: { ...shown, ...(Predicate.isRecord(settable.properties) ? settable.properties : {}) },
}

/** Of a client secret and of the events `session.update`, `session.created` and `session.updated`. */
export const RealtimeSession = JsonObject.annotations({
  message: () => ({ message: "must be an object", override: true }),
  jsonSchema: described,
  description:
    "The configuration of a Realtime session. The service shows all fields of it. A client sends those that it changes.",
})
