import { Effect, Either, Exit, type Option } from "effect"
import { newItem } from "../conversation/item.ts"
import { recordTranscription } from "../metrics.ts"
import { ItemId, newId } from "../schema.ts"
import type { Answers } from "./answers.ts"
import { failureOf } from "./failures.ts"
import { bytesPerSecondOf, type InputAudio, makeInputAudio, readBase64 } from "./input-audio.ts"
import { isMeant } from "./interruption.ts"
import type { Items } from "./items.ts"
import type { HeardEvent, Listener } from "./listener.ts"
import { errorEvent, type ProtocolError, protocolErrors } from "./protocol/errors.ts"
import type { ServerEvent } from "./protocol/server-events.ts"
import type { AudioFormat, SessionConfig } from "./protocol/session-config.ts"
import type { HeardText, HearError, Refusal } from "./utterance.ts"

/** The end of a transcription. */
export interface Transcribed {
  readonly _tag: "Transcribed"
  readonly exit: Exit.Exit<HeardText, HearError>
  /** What was known of the speech when it ended. */
  readonly speech: Speech
}

/** Speech that makes an item. */
interface Speech {
  readonly id: string
  /** It has cut a reply. */
  readonly isInterruption: boolean
  /** The words of it that deltas have sent. */
  readonly sent: string
}

/**
 * The rest of the audio of one event. The listener hears a long one in pieces, between which other connections get their turn.
 */
export interface MoreAudio {
  readonly _tag: "MoreAudio"
  readonly bytes: Uint8Array
}

/** What the listener heard. */
export interface Heard {
  readonly _tag: "Heard"
  readonly event: HeardEvent
}

export interface HearingOptions {
  readonly items: Items
  readonly answers: Answers
  readonly listener: Listener
  readonly config: () => SessionConfig
  /** The work on a response begins while it is not yet certain that the speech is over. */
  readonly speculates: boolean
  /** ISO 639-1. None: the recognizer detects the language. */
  readonly language: () => Option.Option<string>
  readonly send: (event: ServerEvent) => void
  /** ms since 1970. */
  readonly now: () => number
  readonly fork: (effect: Effect.Effect<void>) => unknown
  readonly report: (report: Transcribed) => void
  /** Calls `takeAudio` with it before anything that comes later. */
  readonly postpone: (rest: MoreAudio) => void
  /** Counts the speech of an item that the client adds, before it is transcribed. */
  readonly count: Effect.Effect<unknown, Refusal>
  /** Counts what transcriptions consumed that no item is stored for. */
  readonly charge: () => void
}

/** What the user says on one connection. Plain functions, called by the session alone, one after the other. */
export interface Hearing {
  /** Takes audio in the session's input format, as base64. */
  readonly append: (audio: string) => Either.Either<void, ProtocolError>
  readonly takeAudio: (audio: MoreAudio) => void
  readonly commit: () => Either.Either<void, ProtocolError>
  readonly clear: () => void
  /** The session's settings have changed. */
  readonly configure: () => void
  readonly take: (heard: Heard) => void
  readonly takeTranscript: (transcribed: Transcribed) => void
  /** Transcribes the speech of the item `id`, which a response of our own does not follow. */
  readonly transcribe: (id: string, transcript: Effect.Effect<HeardText, HearError>) => void
  /** The user has said nothing for `ms`: adds an item for that, which is never stored. */
  readonly timeOut: (ms: number) => void
}

/**
 * The audio in the buffer, for the error of an empty commit, in ms. With 100 ms or more a commit is empty only if turn
 * detection has committed the buffer before: nothing is left in it.
 */
const bufferedMs = (ms: number) => (ms < 100 ? ms : 0)

/** Speech of the connection's own audio. */
type SpeechHeard = Speech & { readonly id: ItemId }

const newSpeech = (isInterruption: boolean): SpeechHeard => ({ id: newId(ItemId), isInterruption, sent: "" })

export const makeHearing = (options: HearingOptions): Hearing => {
  const { items, answers, listener, config, language, send, now, fork, report, postpone, count, charge } =
    options
  let format: AudioFormat = config().audio.input.format
  let input: InputAudio = makeInputAudio(format)
  /** Milliseconds of audio in earlier formats. */
  let earlierMs = 0
  /** When the buffer was last emptied. */
  let emptiedMs = 0
  /** The item of the speech that is being heard. */
  let speech: SpeechHeard | undefined

  const ms = () => earlierMs + input.ms()
  const detection = () => config().audio.input.turn_detection
  const isTranscription = () => config().type === "transcription"
  const hasTranscripts = () => config().audio.input.transcription !== null

  /** Sends what `text` has more than the words that were sent. Returns all that were sent. */
  const sendWords = ({ id, sent }: Speech, text: string): string => {
    if (!hasTranscripts() || text.length <= sent.length) return sent
    send({
      type: "conversation.item.input_audio_transcription.delta",
      item_id: id,
      content_index: 0,
      delta: text.slice(sent.length),
    })
    return text
  }

  const run = (ended: Speech, transcript: Effect.Effect<HeardText, HearError>) => {
    const startedAt = now()
    fork(
      Effect.exit(transcript).pipe(
        Effect.tap((exit) =>
          recordTranscription(now() - startedAt).pipe(Effect.when(() => Exit.isSuccess(exit))),
        ),
        Effect.tap((exit) =>
          Effect.annotateLogs(Effect.logInfo("realtime.transcribed"), {
            itemId: ended.id,
            ms: now() - startedAt,
            ok: Exit.isSuccess(exit),
            ...(Exit.isSuccess(exit) ? { seconds: exit.value.seconds, length: exit.value.text.length } : {}),
          }),
        ),
        Effect.map((exit) => report({ _tag: "Transcribed", exit, speech: ended })),
      ),
    )
  }

  const onCommitted = (event: Extract<HeardEvent, { readonly _tag: "Committed" }>) => {
    const ended = speech ?? newSpeech(false)
    speech = undefined
    const createsResponse =
      event.by !== "client" && !isTranscription() && detection()?.create_response === true
    items.addSpeech(ended.id)
    answers.note({ _tag: "Committed", createsResponse })
    run(ended, event.transcript)
  }

  const onSpeechStarted = ({
    startMs,
    isInterruption,
  }: Extract<HeardEvent, { readonly _tag: "SpeechStarted" }>) => {
    speech = newSpeech(isInterruption)
    send({
      type: "input_audio_buffer.speech_started",
      item_id: speech.id,
      audio_start_ms: Math.round(startMs),
    })
    if (detection()?.interrupt_response === true) answers.interrupt()
    answers.note({ _tag: "SpeechStarted" })
  }

  /** A second at a time. */
  const takeAudio = (bytes: Uint8Array) => {
    const piece = bytesPerSecondOf(format)
    listener.append(input.push(bytes.subarray(0, piece)))
    if (bytes.length > piece) postpone({ _tag: "MoreAudio", bytes: bytes.subarray(piece) })
  }

  const onFailed = (id: string, error: ReturnType<typeof failureOf>) => {
    if (hasTranscripts()) {
      send({
        type: "conversation.item.input_audio_transcription.failed",
        item_id: id,
        content_index: 0,
        error: { ...error },
      })
    } else {
      // Nothing else would say why there is no answer.
      send(errorEvent(error))
    }
    answers.note({ _tag: "Transcribed", result: "failed" })
  }

  return {
    append: (audio) => Either.map(readBase64(audio), takeAudio),
    takeAudio: ({ bytes }) => takeAudio(bytes),
    commit: () => {
      listener.append(input.flush())
      const result = listener.commit()
      const buffered = bufferedMs(ms() - emptiedMs)
      emptiedMs = ms()
      return result === "committed" ? Either.void : Either.left(protocolErrors.commitEmpty(buffered))
    },
    clear: () => {
      input.clear()
      listener.clear()
      emptiedMs = ms()
      if (speech !== undefined) answers.note({ _tag: "SpeechDropped" })
      speech = undefined
      answers.unexpect()
      send({ type: "input_audio_buffer.cleared" })
    },
    configure: () => {
      const { input: settings } = config().audio
      listener.configure(settings.turn_detection)
      if (settings.format.type === format.type) return
      earlierMs = ms()
      format = settings.format
      input = makeInputAudio(format)
    },
    take: ({ event }) => {
      switch (event._tag) {
        case "SpeechStarted":
          return onSpeechStarted(event)
        case "SpeechStopped":
          return send({
            type: "input_audio_buffer.speech_stopped",
            item_id: speech?.id ?? newId(ItemId),
            audio_end_ms: Math.round(event.endMs),
          })
        case "Committed":
          emptiedMs = ms()
          return onCommitted(event)
        case "Words":
          if (speech !== undefined) speech = { ...speech, sent: sendWords(speech, event.text) }
          return
        case "MaybeOver": {
          const { turn_detection: detection } = config().audio.input
          const isWanted = options.speculates && detection?.create_response === true && !isTranscription()
          if (isWanted && speech !== undefined) {
            answers.expect(
              { ...newItem({ type: "message", role: "user", text: event.text }), id: speech.id },
              event.text,
            )
          }
          return
        }
        case "Resumed":
          return answers.unexpect()
      }
    },
    takeTranscript: ({ exit, speech: ended }) => {
      const { id, isInterruption } = ended
      if (Exit.isFailure(exit)) {
        charge()
        return onFailed(id, failureOf(exit.cause))
      }
      const { text, seconds } = exit.value
      answers.unexpect(text)
      const isKept = items.addTranscript(id, text)
      // What is stored has it already.
      charge()
      if (isKept && hasTranscripts()) {
        sendWords(ended, text)
        send({
          type: "conversation.item.input_audio_transcription.completed",
          item_id: id,
          content_index: 0,
          transcript: text,
          usage: { type: "duration", seconds },
        })
      }
      // "Mhm" during a reply asks for no other one.
      const isMeantText = text !== "" && (!isInterruption || isMeant(text, language()))
      answers.note({ _tag: "Transcribed", result: isKept && isMeantText ? "words" : "empty" })
    },
    transcribe: (id, transcript) => {
      answers.note({ _tag: "Committed", createsResponse: false })
      run({ id, isInterruption: false, sent: "" }, Effect.zipRight(count, transcript))
    },
    timeOut: (silenceMs) => {
      const id = newId(ItemId)
      const end = ms()
      send({
        type: "input_audio_buffer.timeout_triggered",
        item_id: id,
        audio_start_ms: Math.round(Math.max(0, end - silenceMs)),
        audio_end_ms: Math.round(end),
      })
      items.addSpeech(id)
      items.addTranscript(id, "")
      answers.breakSilence(silenceMs)
    },
  }
}
