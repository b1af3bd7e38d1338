import { Option, Predicate } from "effect"
import { beginning } from "../../text/bounds.ts"
import type { ProviderDetails } from "../errors.ts"
import { parseJson } from "../json.ts"

/** What an error body says. */
export interface ErrorBody {
  /** The provider's own sentence, of at most 500 UTF-16 units. It may quote the conversation. */
  readonly message?: string
  readonly details: ProviderDetails
  /** An HTTP status, if the body names one. */
  readonly status?: number
  /** The parts of every path to a field of the request, as in `error.param` or a `loc` of FastAPI. */
  readonly pointers: ReadonlyArray<string>
  /** Every string of the body, but those that repeat the request. Behind the name of its field: `temperature: too high`. */
  readonly words: ReadonlyArray<string>
}

/** UTF-16 units of the longest message. */
const MAX_MESSAGE = 500

/** The fields in which servers send the sentence, or the object that has it. The first that has one counts. */
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

/** The fields that name a field of the request. */
const POINTERS = ["param", "parameter", "field", "loc", "argument"]

/** Fields whose names say nothing of the request. */
const ENVELOPE = new Set([...MESSAGE_FIELDS, ...POINTERS, "code", "type", "status", "status_code", "object"])

/** Fields that repeat the request, whose words may be those of the conversation. */
const ECHOES = new Set(["input", "ctx"])

/** Deeper objects and lists are not read. */
const MAX_DEPTH = 12

/** A proxy's page, and a lone value, have no sentence in them. */
const sentence = (text: string): string | undefined => {
  const clean = text.replace(/\p{Cc}+/gu, " ").trim()
  return clean.startsWith("<") || !/\p{L}/u.test(clean) || /^(?:null|none|undefined)$/i.test(clean)
    ? undefined
    : beginning(clean, MAX_MESSAGE)
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

const partsOf = (pointer: unknown): ReadonlyArray<string> => {
  if (Array.isArray(pointer)) return pointer.flatMap(partsOf)
  if (typeof pointer === "number") return [`${pointer}`]
  return typeof pointer === "string" ? pointer.split(/[.[\]]+/).filter((part) => part !== "") : []
}

/** FastAPI's path in the notation of Python: `'loc': ('body', 'messages', 0)`. */
const pythonPaths = (text: string): ReadonlyArray<string> =>
  Array.from(text.matchAll(/['"]loc['"]: *[([]([^()[\]]{0,200})[)\]]/g), ([, path = ""]) =>
    path.split(/[\s,'"]+/).filter((part) => part !== ""),
  ).flat()

const withMessage = (message: string | undefined) => (message === undefined ? {} : { message })

const nothing: ErrorBody = { details: {}, pointers: [], words: [] }

const readText = (text: string, name: string, depth: number): ErrorBody => {
  const inner = /^\s*[{[]/.test(text) ? parseJson(text) : Option.none()
  if (Option.isSome(inner)) return read(inner.value, name, depth + 1)
  return {
    ...withMessage(sentence(text)),
    details: {},
    pointers: pythonPaths(text),
    words: [name === "" ? text : `${name}: ${text}`],
  }
}

const collected = (parts: ReadonlyArray<ErrorBody>) => ({
  pointers: parts.flatMap(({ pointers }) => pointers),
  words: parts.flatMap(({ words }) => words),
})

/** The first part with a sentence. Without any, the first with a name or a status. */
const foremost = (parts: ReadonlyArray<ErrorBody>) =>
  parts.find(({ message }) => message !== undefined) ??
  parts.find(({ details, status }) => status !== undefined || Object.keys(details).length > 0) ??
  nothing

/** `name`: of the last field above `body` that is not of the envelope; "" without one. */
const read = (body: unknown, name: string, depth: number): ErrorBody => {
  if (depth > MAX_DEPTH) return nothing
  if (typeof body === "string") return readText(body, name, depth)
  if (Array.isArray(body)) {
    const parts = body.map((part) => read(part, name, depth + 1))
    return { ...foremost(parts), ...collected(parts) }
  }
  if (!Predicate.isRecord(body)) return nothing
  const parts = new Map(
    Object.entries(body)
      .filter(([field]) => !ECHOES.has(field))
      .map(([field, value]) => [field, read(value, ENVELOPE.has(field) ? name : field, depth + 1)]),
  )
  const inner = foremost(MESSAGE_FIELDS.flatMap((field) => parts.get(field) ?? []))
  const { pointers, words } = collected([...parts.values()])
  const path = pathOf(body.loc)
  const code = nameOf(body.code)
  const type = nameOf(body.type) ?? nameOf(body.status)
  const param = nameOf(body.param) ?? path
  const status = inner.status ?? statusOf(body.code, body.status, body.status_code)
  return {
    ...withMessage(
      inner.message === undefined || path === undefined
        ? inner.message
        : beginning(`${path.replace(/^(?:body|query)\./, "")}: ${inner.message}`, MAX_MESSAGE),
    ),
    ...(status === undefined ? {} : { status }),
    details: {
      ...(code === undefined ? {} : { code }),
      ...(type === undefined ? {} : { type }),
      ...(param === undefined ? {} : { param }),
      ...inner.details,
    },
    pointers: [...POINTERS.flatMap((field) => partsOf(body[field])), ...pointers],
    words,
  }
}

export const readErrorBody = (body: unknown): ErrorBody => read(body, "", 0)
