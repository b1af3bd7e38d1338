import { Either, Schema } from "effect"
import { betaShape } from "./beta.ts"
import { causedBy, invalidRequest, type ProtocolError, protocolErrors, unlisted } from "./errors.ts"
import { integer, maybe, maybeNull, text } from "./fields.ts"
import { makeDecoder } from "./issues.ts"
import { ClientItem, checkItem } from "./items.ts"
import { checkShape, type JsonObject, longestMessage, readObject } from "./json.ts"
import { type ResponseParams, readResponseParams } from "./response.ts"
import { readSessionPatch, type SessionPatch } from "./session-patch.ts"

/** An id that a client refers to. One of another form than ours is an id that does not exist, which is another error. */
const Reference = text(512)
/** 24 h; sessions are shorter. */
const maxMs = 86_400_000

const event = <const Type extends string, Fields extends Schema.Struct.Fields>(type: Type, fields: Fields) =>
  Schema.Struct({ type: Schema.Literal(type), event_id: maybeNull(text(512)), ...fields })

const Envelope = Schema.Union(
  event("session.update", { session: Schema.Object }),
  event("input_audio_buffer.append", { audio: Schema.String }),
  event("input_audio_buffer.commit", {}),
  event("input_audio_buffer.clear", {}),
  event("conversation.item.create", { previous_item_id: maybeNull(Reference), item: ClientItem }),
  event("conversation.item.retrieve", { item_id: Reference }),
  event("conversation.item.truncate", {
    item_id: Reference,
    content_index: integer(0, 1_000),
    audio_end_ms: integer(0, maxMs),
  }),
  event("conversation.item.delete", { item_id: Reference }),
  event("response.create", { response: maybe(Schema.Unknown) }),
  event("response.cancel", { response_id: maybeNull(Reference) }),
)
type Envelope = typeof Envelope.Type

const decode = makeDecoder(Envelope)

type Decoded<Event extends Envelope> = Event extends { readonly type: "session.update" }
  ? Omit<Event, "session"> & { readonly session: SessionPatch }
  : Event extends { readonly type: "response.create" }
    ? Omit<Event, "response"> & { readonly response: ResponseParams }
    : Event

/** What a client sends, decoded. `session` and `response` have the fields that the client set. */
export type ClientEvent = Decoded<Envelope>

/** The types of client events that this server takes. */
export const clientEventTypes: ReadonlyArray<string> = Envelope.members.map(
  (member) => member.fields.type.literals[0],
)

/** Event types that other transports or the Beta API have. */
const typeFault = (type: string): ProtocolError => {
  if (type === "output_audio_buffer.clear") {
    return invalidRequest(
      "invalid_event",
      "'output_audio_buffer.clear' is for WebRTC and SIP. Over a WebSocket, stop playing and send 'conversation.item.truncate'.",
      "type",
    )
  }
  if (type === "transcription_session.update") {
    return betaShape(type, "Send 'session.update' with a session of type 'transcription'.", "type")
  }
  return unlisted("type", type, clientEventTypes, "invalid_event")
}

/** Elsewhere a field called `audio` is text like any other. */
const audioEvents: ReadonlyArray<unknown> = ["input_audio_buffer.append", "conversation.item.create"]

/** `length`: that of the message. */
const decodeEvent = (object: JsonObject, length: number): Either.Either<ClientEvent, ProtocolError> =>
  Either.gen(function* () {
    const { type } = object
    if (length > longestMessage && !audioEvents.includes(type)) {
      return yield* Either.left(protocolErrors.messageTooLong(longestMessage))
    }
    yield* checkShape(object)
    if (typeof type === "string" && !clientEventTypes.includes(type))
      return yield* Either.left(typeFault(type))
    if (type === "conversation.item.create") yield* checkItem(object.item, "item")
    const envelope = yield* decode(object)
    switch (envelope.type) {
      case "session.update":
        return { ...envelope, session: yield* readSessionPatch(envelope.session) }
      case "response.create":
        return { ...envelope, response: yield* readResponseParams(envelope.response ?? {}) }
      default:
        return envelope
    }
  })

/**
 * Reads one message of a client. The error has the event's id, if the event has one that can be read. Fails for what is
 * not JSON, an unknown type, an unknown or missing parameter, and a value of another type or out of range.
 */
export const readClientEvent = (message: string): Either.Either<ClientEvent, ProtocolError> =>
  Either.flatMap(readObject(message), (object) => {
    const id = object.event_id
    return Either.mapLeft(decodeEvent(object, message.length), (error) =>
      causedBy(error, typeof id === "string" && id.length <= 512 ? id : null),
    )
  })
