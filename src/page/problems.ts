import { type KnownCode, VoiceAgentError } from "../client/client.ts"
import { MicrophoneProblem } from "./microphone.ts"

/** What went wrong, and what to do next. */
export interface Problem {
  readonly what: string
  readonly next: string
  /** What a button does about it, where one can. */
  readonly remedy?: "send again" | "sign in" | undefined
}

const sayAgain = "Hold the button and say it once more."
const otherFile = "Send a WAV, MP3, WebM, OGG, FLAC or M4A file."
const ownFault = "That is the service’s fault, not yours. If it goes on, tell its operator."

const known: { readonly [code in KnownCode]?: Problem } = {
  NETWORK_LOST: {
    what: "The connection was lost.",
    next: "Your recording is kept: check the network, then send it again.",
    remedy: "send again",
  },
  BAD_ANSWER: {
    what: "Something between you and the service answered in its place.",
    next: "A proxy or a hotel’s sign-in page, perhaps. Reload the page.",
    remedy: "send again",
  },
  UNAUTHORIZED: { what: "You are not signed in.", next: "Sign in with your key.", remedy: "sign in" },
  INVALID_API_KEY: {
    what: "This key is not known here.",
    next: "Look whether all of it was copied, or get a new one with your e-mail.",
    remedy: "sign in",
  },
  EMAIL_TAKEN: {
    what: "This e-mail has a key already.",
    next: "Paste that key below, or use another e-mail.",
  },
  NO_SPEECH_DETECTED: {
    what: "No words were heard.",
    next: "Hold the button while you speak, a bit closer to the microphone.",
  },
  INVALID_AUDIO: { what: "That is no recording that can be read.", next: otherFile },
  AUDIO_TOO_LARGE: { what: "That recording is too large.", next: "Send a shorter one." },
  AUDIO_TOO_LONG: { what: "That recording is too long.", next: "Say it in several parts." },
  SESSION_BUSY: {
    what: "What you said before is still being answered.",
    next: "Wait a moment, then send it again.",
    remedy: "send again",
  },
  SESSION_NOT_FOUND: { what: "This conversation is gone.", next: "Begin a new one." },
  TURN_CANCELLED: { what: "The reply was stopped.", next: sayAgain },
  STT_FAILED: { what: "Your words could not be written down.", next: ownFault, remedy: "send again" },
  LLM_FAILED: { what: "No answer could be found.", next: ownFault, remedy: "send again" },
  TTS_FAILED: { what: "The answer could not be spoken.", next: ownFault, remedy: "send again" },
  INVALID_OPENAI_KEY: {
    what: "The service’s own key was refused by its provider.",
    next: "Tell the service’s operator.",
  },
  DATABASE_UNAVAILABLE: {
    what: "The service can’t reach its memory.",
    next: "Try again in a moment.",
    remedy: "send again",
  },
  OVERLOADED: {
    what: "Too many people are talking at once.",
    next: "Try again in a moment.",
    remedy: "send again",
  },
  INTERNAL_SERVER_ERROR: {
    what: "Something went wrong in the service.",
    next: ownFault,
    remedy: "send again",
  },
}

const isKnown = (code: string): code is KnownCode => Object.hasOwn(known, code)

const ofService = ({ code, message, retryAfter, requestId }: VoiceAgentError): Problem => {
  if (code === "RATE_LIMIT_EXCEEDED") {
    const wait = retryAfter === undefined || retryAfter < 2 ? "a moment" : `${Math.ceil(retryAfter)} seconds`
    return { what: "The service was asked too much.", next: `Try again in ${wait}.`, remedy: "send again" }
  }
  const problem = isKnown(code) ? known[code] : undefined
  const reference = requestId === undefined ? "" : ` (Request ${requestId}.)`
  return problem ?? { what: message, next: `Try again.${reference}` }
}

/** What a person is told of an error; what is unknown here speaks for itself. */
export const problemOf = (error: unknown): Problem => {
  if (error instanceof VoiceAgentError) return ofService(error)
  if (error instanceof MicrophoneProblem) return error.problem
  return { what: error instanceof Error ? error.message : `${error}`, next: "Reload the page." }
}
