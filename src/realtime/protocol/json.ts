import { Either } from "effect"
import { invalidRequest, type ProtocolError } from "./errors.ts"

/** Deeper documents are refused: every walk over one may be recursive. A tool's JSON Schema has about ten levels. */
const maxDepth = 64

export type JsonObject = { readonly [key: string]: unknown }

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Why a value is refused. `__proto__` would change an object's prototype where code copies it by assignment. */
const faultOf = (value: unknown, depth: number): "deep" | "prototype" | undefined => {
  if (typeof value !== "object" || value === null) return undefined
  if (depth === 0) return "deep"
  for (const [key, each] of Object.entries(value)) {
    if (key === "__proto__") return "prototype"
    const fault = faultOf(each, depth - 1)
    if (fault !== undefined) return fault
  }
  return undefined
}

const parse = (text: string) => Either.try((): unknown => JSON.parse(text))

/** The JSON object of a message. */
export const readObject = (text: string): Either.Either<JsonObject, ProtocolError> => {
  const parsed = parse(text)
  if (Either.isLeft(parsed)) {
    return Either.left(invalidRequest("invalid_json", "The message is not valid JSON. Send one JSON object."))
  }
  if (!isObject(parsed.right)) {
    return Either.left(
      invalidRequest("invalid_json", "The message is not a JSON object. Send one object with a 'type'."),
    )
  }
  return Either.right(parsed.right)
}

/** Fails for an object that code could not walk or copy safely. */
export const checkShape = (object: JsonObject): Either.Either<void, ProtocolError> => {
  const fault = faultOf(object, maxDepth)
  if (fault === undefined) return Either.void
  return Either.left(
    fault === "deep"
      ? invalidRequest("invalid_json", `The message is nested too deeply. Use at most ${maxDepth} levels.`)
      : invalidRequest("unknown_parameter", "Unknown parameter: '__proto__'.", "__proto__"),
  )
}
