/**
 * When the server answers by itself. An answer follows the end of an utterance once all that was said is transcribed: the
 * transcript is complete before the response, and two utterances in a row get one answer.
 */
export interface Answering {
  /** Utterances that are being transcribed. */
  readonly pending: number
  /** The user speaks, as far as the turn detection knows. */
  readonly isSpeaking: boolean
  /** An utterance or a time-out calls for an answer. */
  readonly isWanted: boolean
  /** The user said words that no response has answered yet. */
  readonly hasWords: boolean
  /** Speech cut a response in the middle. If the speech had no words, the response has to go on. */
  readonly isCut: boolean
}

export const initialAnswering: Answering = {
  pending: 0,
  isSpeaking: false,
  isWanted: false,
  hasWords: false,
  isCut: false,
}

export type AnsweringEvent =
  | { readonly _tag: "SpeechStarted" }
  /** The speech was dropped: nothing of it is transcribed. */
  | { readonly _tag: "SpeechDropped" }
  /** An utterance is complete. `createsResponse`: turn detection ended it, and is to answer it. */
  | { readonly _tag: "Committed"; readonly createsResponse: boolean }
  | { readonly _tag: "Transcribed"; readonly result: "words" | "empty" | "failed" }
  /** The client added a message of the user. It is answered by the next response, but calls for none. */
  | { readonly _tag: "WordsAdded" }
  | { readonly _tag: "ResponseStarted" }
  /** Speech cancelled the response. `hasOutput`: the client got some of it. */
  | { readonly _tag: "ResponseCut"; readonly hasOutput: boolean }

export const step = (state: Answering, event: AnsweringEvent): Answering => {
  switch (event._tag) {
    case "SpeechStarted":
      return { ...state, isSpeaking: true }
    case "SpeechDropped":
      return { ...state, isSpeaking: false }
    case "Committed":
      return {
        ...state,
        isSpeaking: false,
        pending: state.pending + 1,
        isWanted: state.isWanted || event.createsResponse,
      }
    case "Transcribed":
      return {
        ...state,
        pending: state.pending - 1,
        hasWords: state.hasWords || event.result === "words",
        // What could not be transcribed may have been words.
        isCut: state.isCut && event.result === "empty",
      }
    case "WordsAdded":
      return { ...state, hasWords: true }
    case "ResponseStarted":
      return { ...state, isWanted: false, hasWords: false, isCut: false }
    case "ResponseCut":
      return event.hasOutput ? { ...state, isCut: true } : { ...state, hasWords: true }
  }
}

/** `answer`: a new response. `resume`: the rest of the response that a noise has cut. `none`: there is nothing to answer. */
export type NextAnswer = "answer" | "resume" | "none"

/** What to do now; undefined while something is awaited. After `none`, `forget` the wish. */
export const nextAnswer = (state: Answering, isResponding: boolean): NextAnswer | undefined => {
  if (!state.isWanted || isResponding || state.isSpeaking || state.pending > 0) return undefined
  if (state.hasWords) return "answer"
  return state.isCut ? "resume" : "none"
}

/** Clears the pending answer. */
export const forget = (state: Answering): Answering => ({ ...state, isWanted: false, isCut: false })
