import { Either } from "effect"
import { excessOf, type JsonExcess, shapeFault } from "../../text/json-bounds.ts"
import { causedBy, invalidRequest, type ProtocolError, protocolErrors } from "./errors.ts"

export type JsonObject = { readonly [key: string]: unknown }

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/**
 * Characters of a message without its audio. Settings are kept, shown and sent to the model with each response; an item or
 * a response's own context is shorter.
 */
export const longestMessage = 2_097_152

/** Values of a message: 128 tools have some hundred each. To walk and decode them takes 20 ms. */
const maxValues = 50_000

/** Levels: every walk may be recursive. A tool's JSON Schema has about ten. */
const maxDepth = 64

const bounds = { depth: maxDepth, values: maxValues, length: longestMessage, media: "audio" }

const refusals: Readonly<Record<JsonExcess, () => ProtocolError>> = {
  depth: () =>
    invalidRequest("invalid_json", `The message is nested too deeply. Use at most ${maxDepth} levels.`),
  values: () =>
    invalidRequest(
      "array_above_max_length",
      `The message has too many values. Send at most about ${maxValues} in one message.`,
    ),
  length: () => protocolErrors.messageTooLong(longestMessage),
}

/** Clients put the id first or last. A message that is too large for its parser is not searched further. */
const idReach = 1_000
const idPattern = /"event_id"\s*:\s*"([^"\\]{1,512})"/

/** The `event_id` of a message that is not parsed. */
const eventIdIn = (text: string): string | null =>
  (idPattern.exec(text.slice(0, idReach)) ?? idPattern.exec(text.slice(-idReach)))?.[1] ?? null

const parse = (text: string) => Either.try((): unknown => JSON.parse(text))

/** The JSON object of a message. One that exceeds the bounds is not parsed. */
export const readObject = (text: string): Either.Either<JsonObject, ProtocolError> => {
  const excess = excessOf(text, bounds)
  if (excess !== undefined) return Either.left(causedBy(refusals[excess](), eventIdIn(text)))
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

/** Fails for an object that code cannot walk or copy safely. */
export const checkShape = (object: JsonObject): Either.Either<void, ProtocolError> => {
  const fault = shapeFault(object, maxDepth)
  if (fault === undefined) return Either.void
  return Either.left(
    fault === "depth"
      ? refusals.depth()
      : invalidRequest("unknown_parameter", "Unknown parameter: '__proto__'.", "__proto__"),
  )
}
