import { Predicate } from "effect"
import { shortened } from "../../text/well-formed.ts"
import type { ProviderDetails } from "../errors.ts"

/** What an error body says. */
export interface ErrorBody {
  /** The provider's own sentence, of at most 500 UTF-16 units. It may quote the conversation. */
  readonly message?: string
  readonly details: ProviderDetails
  /** An HTTP status, if the body names one. */
  readonly status?: number
}

/** UTF-16 units of the longest message. */
const MAX_MESSAGE = 500

/** The fields in which servers send the sentence, or the object that has it. */
const MESSAGE_FIELDS = [
  "message",
  "error",
  "detail",
  "errors",
  "msg",
  "error_message",
  "error_description",
  "details",
  "description",
  "title",
  "reason",
]

/** Deeper objects and lists are not read. */
const MAX_DEPTH = 12

/** A proxy's page, and a lone value, have no sentence in them. */
const sentence = (text: string): string | undefined => {
  const clean = text.replace(/\p{Cc}+/gu, " ").trim()
  return clean.startsWith("<") || !/\p{L}/u.test(clean) || /^(?:null|none|undefined)$/i.test(clean)
    ? undefined
    : shortened(clean, MAX_MESSAGE)
}

/** A name, not a sentence: names quote no speech, so the log may have them. */
const nameOf = (value: unknown): string | undefined => {
  const name = typeof value === "number" ? String(value) : value
  return typeof name === "string" && /^[\w.[\]/:-]{1,80}$/.test(name) ? name : undefined
}

const statusOf = (...values: ReadonlyArray<unknown>): number | undefined =>
  values.map(Number).find((status) => Number.isInteger(status) && status >= 400 && status < 600)

/** FastAPI's path to the field. */
const pathOf = (loc: unknown): string | undefined => (Array.isArray(loc) ? nameOf(loc.join(".")) : undefined)

const withMessage = (message: string | undefined) => (message === undefined ? {} : { message })

export const readErrorBody = (body: unknown, depth = 0): ErrorBody => {
  if (depth > MAX_DEPTH) return { details: {} }
  if (typeof body === "string") return { ...withMessage(sentence(body)), details: {} }
  if (Array.isArray(body)) {
    const parts = body.map((part) => readErrorBody(part, depth + 1))
    return parts.find(({ message }) => message !== undefined) ?? { details: {} }
  }
  if (!Predicate.isRecord(body)) return { details: {} }
  const inner = readErrorBody(
    MESSAGE_FIELDS.map((field) => body[field]).filter((value) => value !== undefined),
    depth + 1,
  )
  const field = pathOf(body.loc)
  const code = nameOf(body.code)
  const type = nameOf(body.type) ?? nameOf(body.status)
  const param = nameOf(body.param) ?? field
  const status = inner.status ?? statusOf(body.code, body.status, body.status_code)
  return {
    ...withMessage(
      inner.message === undefined || field === undefined
        ? inner.message
        : shortened(`${field.replace(/^(?:body|query)\./, "")}: ${inner.message}`, MAX_MESSAGE),
    ),
    ...(status === undefined ? {} : { status }),
    details: {
      ...(code === undefined ? {} : { code }),
      ...(type === undefined ? {} : { type }),
      ...(param === undefined ? {} : { param }),
      ...inner.details,
    },
  }
}
