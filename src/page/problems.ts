import { type KnownCode, VoiceAgentError } from "../client/client.ts"

/** An error in words: what went wrong, and what to do next. */
export interface Problem {
  readonly what: string
  readonly next: string
  /** The action of the notice's button. */
  readonly remedy?: "send again" | "sign in" | undefined
}

/** An error with its words. */
export class ProblemError extends Error {
  readonly problem: Problem
  constructor(problem: Problem, cause?: unknown) {
    super(problem.what, { cause })
    this.problem = problem
  }
}

const sayAgain = "Hold the button and say it again."
const otherFile = "Send a WAV, MP3, WebM, OGG, FLAC or M4A file."
const ownFault = "This is the service’s fault, not yours. If it continues, tell the operator."

/** The page sets no metadata of a session, so a placeholder needs a fallback. */
const missingMetadata = (name: string): Problem => ({
  what: `This agent needs a value for {{${name}}}, and this page cannot send one.`,
  next: `Open Agents and write a fallback, such as {{${name} | friend}}. Or choose another agent.`,
})

const known: { readonly [code in KnownCode]?: Problem } = {
  NETWORK_LOST: {
    what: "The connection was lost.",
    next: "Your recording is kept: check the network, then send it again.",
    remedy: "send again",
  },
  BAD_ANSWER: {
    what: "The response did not come from the service.",
    next: "A proxy or a network’s sign-in page may have answered instead. Reload the page.",
    remedy: "send again",
  },
  UNAUTHORIZED: { what: "You are not signed in.", next: "Sign in with your key.", remedy: "sign in" },
  INVALID_API_KEY: {
    what: "This key is not valid here.",
    next: "Check that you copied the whole key, or get a new one with your e-mail.",
    remedy: "sign in",
  },
  EMAIL_TAKEN: {
    what: "This e-mail already has a key.",
    next: "Paste that key below, or use another e-mail.",
  },
  NO_SPEECH_DETECTED: {
    what: "No words were heard.",
    next: "Hold the button while you speak, closer to the microphone.",
  },
  INVALID_AUDIO: { what: "This file is not a recording that can be read.", next: otherFile },
  AUDIO_TOO_LARGE: { what: "This recording is too large.", next: "Send a shorter one." },
  AUDIO_TOO_LONG: { what: "This recording is too long.", next: "Say it in several parts." },
  SESSION_BUSY: {
    what: "What you said before is still being answered.",
    next: "Wait a moment, then send it again.",
    remedy: "send again",
  },
  SESSION_NOT_FOUND: { what: "This conversation was deleted.", next: "Start a new one." },
  TURN_CANCELLED: { what: "The reply was stopped.", next: sayAgain },
  STT_FAILED: { what: "Your speech could not be transcribed.", next: ownFault, remedy: "send again" },
  LLM_FAILED: { what: "No reply could be generated.", next: ownFault, remedy: "send again" },
  TTS_FAILED: { what: "The reply could not be spoken.", next: ownFault, remedy: "send again" },
  INVALID_OPENAI_KEY: {
    what: "The provider refused the service’s own key.",
    next: "Tell the service’s operator.",
  },
  DATABASE_UNAVAILABLE: {
    what: "The service cannot reach its database.",
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

const fromService = (error: VoiceAgentError): Problem => {
  const { code, message, status, retryAfter, requestId } = error
  if (code === "RATE_LIMIT_EXCEEDED") {
    const wait = retryAfter === undefined || retryAfter < 2 ? "a moment" : `${Math.ceil(retryAfter)} seconds`
    return { what: "You sent too many requests.", next: `Try again in ${wait}.`, remedy: "send again" }
  }
  // The service says what the limit is, when it resets, and whom to ask.
  if (code === "QUOTA_EXCEEDED") return { what: message, next: "" }
  const placeholder = /^metadata\.([^:]+): .*\{\{/.exec(message)?.[1]
  if (code === "VALIDATION_ERROR" && placeholder !== undefined) return missingMetadata(placeholder)
  const problem = isKnown(code) ? known[code] : undefined
  const reference = requestId === undefined ? "" : ` (Request ${requestId}.)`
  const isWrong = status !== undefined && status >= 400 && status < 500 && status !== 408 && status !== 429
  return problem ?? { what: message, next: `${isWrong ? "" : "Try again."}${reference}`.trim() }
}

/** An error of a connected hands-free conversation. The service says what to do, except where the page cannot do it. */
export const realtimeProblemOf = ({ code, message }: VoiceAgentError): Problem =>
  code === "metadata_missing"
    ? missingMetadata(/\btext (\w+)/.exec(message)?.[1] ?? "name")
    : { what: message, next: "" }

/** An error in words. For an unknown error, its own message. */
export const problemOf = (error: unknown): Problem => {
  if (error instanceof VoiceAgentError) return fromService(error)
  if (error instanceof ProblemError) return error.problem
  return { what: error instanceof Error ? error.message : `${error}`, next: "Reload the page." }
}
