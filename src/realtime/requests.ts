import { Effect, Either } from "effect"
import type { Pcm16k } from "../audio/pcm.ts"
import type { Answers } from "./answers.ts"
import type { Hearing } from "./hearing.ts"
import { bytesPerSecondOf, readBase64, speechFrom } from "./input-audio.ts"
import { textOf } from "./item-shapes.ts"
import type { Items } from "./items.ts"
import { type ClientEvent, readClientEvent } from "./protocol/client-events.ts"
import { causedBy, errorEvent, invalidRequest, type ProtocolError } from "./protocol/errors.ts"
import type { ServerEvent } from "./protocol/server-events.ts"
import type { Responding } from "./responding.ts"
import type { SessionSettings } from "./settings.ts"
import type { HeardText, HearError } from "./utterance.ts"

export interface RequestsOptions {
  readonly settings: SessionSettings
  readonly items: Items
  readonly responding: Responding
  readonly answers: Answers
  readonly hearing: Hearing
  readonly send: (event: ServerEvent) => void
  /** Transcribes speech that came in one piece. */
  readonly transcribe: (speech: Pcm16k) => Effect.Effect<HeardText, HearError>
  readonly maxSeconds: number
}

type Handled = Either.Either<void, ProtocolError>
type Of<Type extends ClientEvent["type"]> = Extract<ClientEvent, { readonly type: Type }>

const harmlessEvents: ReadonlySet<string> = new Set([
  "input_audio_buffer.append",
  "conversation.item.retrieve",
])

/** Handles the messages of a client, one after the other. What is refused changes nothing and gets one `error` event. */
export const makeRequests = (options: RequestsOptions): ((message: string) => void) => {
  const { settings, items, responding, answers, hearing, send, transcribe, maxSeconds } = options

  /** The speech within an item that the client adds. Undefined: it has none. */
  const speechOf = ({
    item,
  }: Of<"conversation.item.create">): Either.Either<Effect.Effect<Pcm16k> | undefined, ProtocolError> =>
    Either.gen(function* () {
      if (item.type !== "message") return undefined
      const parts: Array<Uint8Array> = []
      for (const [at, part] of item.content.entries()) {
        if (part.type !== "input_audio" || typeof part.audio !== "string") continue
        parts.push(yield* readBase64(part.audio, `item.content[${at}].audio`))
      }
      if (parts.length === 0) return undefined
      const { format } = settings.config().audio.input
      const bytes = parts.reduce((sum, part) => sum + part.length, 0)
      return bytes <= maxSeconds * bytesPerSecondOf(format)
        ? speechFrom(format, parts)
        : yield* Either.left(
            invalidRequest(
              "invalid_value",
              `The audio is longer than ${maxSeconds} seconds. Send a shorter recording.`,
              "item.content",
            ),
          )
    })

  const create = (event: Of<"conversation.item.create">): Handled =>
    Either.gen(function* () {
      const speech = yield* speechOf(event)
      const item = yield* items.create(event.item, event.previous_item_id ?? undefined)
      if (item.type !== "message" || item.role !== "user") return
      if (textOf(item) !== "") answers.note({ _tag: "WordsAdded" })
      if (speech !== undefined) hearing.transcribe(item.id, Effect.flatMap(speech, transcribe))
    })

  /** Ends the response that still sends this item: its client wants no more of it. */
  const endSending = (itemId: string, upToMs: number) => {
    const sending = responding.sending()
    if (sending?.itemId !== itemId) return
    if (upToMs <= Math.ceil(sending.audioMs)) answers.cancel(undefined)
  }

  const truncate = (event: Of<"conversation.item.truncate">): Handled => {
    endSending(event.item_id, event.audio_end_ms)
    return items.truncate(event.item_id, event.content_index, event.audio_end_ms)
  }

  const remove = (event: Of<"conversation.item.delete">): Handled => {
    endSending(event.item_id, 0)
    return items.remove(event.item_id)
  }

  const handle = (event: ClientEvent): Handled => {
    switch (event.type) {
      case "input_audio_buffer.append":
        return hearing.append(event.audio)
      case "input_audio_buffer.commit":
        return hearing.commit()
      case "input_audio_buffer.clear":
        return Either.right(hearing.clear())
      case "session.update":
        return Either.map(settings.update(event.session), hearing.configure)
      case "conversation.item.create":
        return create(event)
      case "conversation.item.retrieve":
        return items.retrieve(event.item_id)
      case "conversation.item.truncate":
        return truncate(event)
      case "conversation.item.delete":
        return remove(event)
      case "response.create":
        return answers.ask(event)
      case "response.cancel":
        return answers.cancel(event.response_id ?? undefined)
    }
  }

  return (message) => {
    const read = readClientEvent(message)
    if (Either.isLeft(read)) return send(errorEvent(read.left))
    // It may change what the user is answered.
    if (!harmlessEvents.has(read.right.type)) answers.unexpect()
    const handled = handle(read.right)
    if (Either.isLeft(handled)) send(errorEvent(causedBy(handled.left, read.right.event_id ?? null)))
  }
}
