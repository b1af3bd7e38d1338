/** Reading JSON without trusting it: each reader gives its type, or throws BAD_ANSWER. */
import { badAnswer, VoiceAgentError } from "./errors.ts"
import type { Message, Readiness, Session, SessionPage, Timings, Usage } from "./model.ts"

export type Reader<A> = (value: unknown) => A

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const expected = (what: string): never => {
  throw badAnswer(`${what} was expected`)
}

export const text: Reader<string> = (value) => (typeof value === "string" ? value : expected("a text"))
const number: Reader<number> = (value) => (typeof value === "number" ? value : expected("a number"))
const truth: Reader<boolean> = (value) => (typeof value === "boolean" ? value : expected("true or false"))
const object: Reader<Readonly<Record<string, unknown>>> = (value) =>
  isObject(value) ? value : expected("an object")

const orNull =
  <A>(read: Reader<A>): Reader<A | null> =>
  (value) =>
    value === null ? null : read(value)

const listOf =
  <A>(read: Reader<A>): Reader<ReadonlyArray<A>> =>
  (value) =>
    Array.isArray(value) ? value.map((each: unknown) => read(each)) : expected("a list")

/** Reads an object's fields by name. */
export const fieldsOf = (value: unknown): (<A>(name: string, read: Reader<A>) => A) => {
  const fields = object(value)
  return (name, read) => {
    try {
      return read(fields[name])
    } catch (error) {
      throw error instanceof VoiceAgentError ? badAnswer(`its field "${name}" is wrong`) : error
    }
  }
}

export const session: Reader<Session> = (value) => {
  const field = fieldsOf(value)
  return {
    id: field("id", text),
    userId: field("userId", text),
    title: field("title", orNull(text)),
    metadata: field("metadata", object),
    createdAt: field("createdAt", text),
    lastActivityAt: field("lastActivityAt", text),
    expired: field("expired", truth),
  }
}

export const sessionPage: Reader<SessionPage> = (value) => {
  const field = fieldsOf(value)
  return { sessions: field("sessions", listOf(session)), nextCursor: field("nextCursor", orNull(text)) }
}

const message: Reader<Message> = (value) => {
  const field = fieldsOf(value)
  return {
    id: field("id", text),
    turnId: field("turnId", text),
    role: field("role", text),
    content: field("content", text),
    interrupted: field("interrupted", truth),
    createdAt: field("createdAt", text),
  }
}

export const messages: Reader<ReadonlyArray<Message>> = (value) =>
  fieldsOf(value)("messages", listOf(message))

const stage = (value: unknown) => {
  const { engine, model } = object(value)
  return { engine: text(engine), ...(typeof model === "string" ? { model } : {}) }
}

export const readiness: Reader<Readiness> = (value) => {
  const field = fieldsOf(value)
  const checks = fieldsOf(field("checks", object))
  return {
    isReady: field("status", text) === "ready",
    stages: { stt: checks("stt", stage), llm: checks("llm", stage), tts: checks("tts", stage) },
  }
}

export const timings: Reader<Timings> = (value) => {
  const field = fieldsOf(value)
  return {
    upload: field("upload", number),
    validate: field("validate", number),
    transcode: field("transcode", number),
    stt: field("stt", number),
    llmTtft: field("llmTtft", number),
    ttsTtfb: field("ttsTtfb", number),
    firstAudio: field("firstAudio", number),
    total: field("total", number),
  }
}

export const usage: Reader<Usage> = (value) => {
  const field = fieldsOf(value)
  return {
    audioSeconds: field("audioSeconds", number),
    inputTokens: field("inputTokens", number),
    outputTokens: field("outputTokens", number),
    charactersSpoken: field("charactersSpoken", number),
  }
}

/** Parses JSON, and reads it. */
export const parse = <A>(json: string, read: Reader<A>): A => {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (error) {
    throw badAnswer("it is not JSON", undefined, error)
  }
  return read(value)
}

/** What an answer that is no success says; `json` is its body. */
export const problem = (status: number, json: string, header: (name: string) => string | null) => {
  let body: Readonly<Record<string, unknown>> = {}
  try {
    const parsed: unknown = JSON.parse(json)
    if (isObject(parsed)) body = parsed
  } catch {
    // Of a proxy, then: its status is all that counts.
  }
  const { error, message: said, requestId } = body
  // In seconds; a date in its place is what nobody but a proxy sends.
  const seconds = Number.parseFloat(header("retry-after") ?? "")
  return new VoiceAgentError({
    code: typeof error === "string" ? error : "BAD_ANSWER",
    message: typeof said === "string" ? said : `The service could not be reached (HTTP ${status}).`,
    status,
    requestId: typeof requestId === "string" ? requestId : (header("x-request-id") ?? undefined),
    retryAfter: Number.isFinite(seconds) ? seconds : undefined,
  })
}
