import { Either, Schema } from "effect"
import type { ToolCall } from "../providers/tools.ts"
import type { TurnId } from "../schema.ts"
import type { ItemPayload } from "./item.ts"
import type { TurnState } from "./stored-turn.ts"

/** An item of a conversation, and what became of its turn. */
export interface CalledItem {
  readonly turnId: TurnId
  /** Null: the turn has no row any more. */
  readonly state: typeof TurnState.Type | null
  readonly payload: ItemPayload
}

/** What a client says of a call that it ran. */
export interface GivenResult {
  readonly callId: string
  /** As the model reads it. */
  readonly output: string
  readonly isError: boolean
}

/** The results are not those of the turn's open calls. `field`: of the request's body. */
export class ToolResultsMismatch extends Schema.TaggedError<ToolResultsMismatch>()("ToolResultsMismatch", {
  field: Schema.String,
  reason: Schema.String,
}) {}

/** The call has a result. */
export class ToolCallAnswered extends Schema.TaggedError<ToolCallAnswered>()("ToolCallAnswered", {
  callId: Schema.String,
}) {}

/** The conversation went on without the results. */
export class ToolCallsClosed extends Schema.TaggedError<ToolCallsClosed>()("ToolCallsClosed", {}) {}

export type CallsRefusal = ToolResultsMismatch | ToolCallAnswered | ToolCallsClosed

/** The state of the calls that a turn has left to its client. */
interface CallsOfTurn {
  readonly calls: ReadonlyArray<ToolCall>
  readonly results: ReadonlyMap<
    string,
    {
      readonly output: string
      /** The turn that brought it has answered it, or a Realtime client has added it. */
      readonly isFinal: boolean
    }
  >
  /** Something was said or called after them. */
  readonly isOver: boolean
}

/** A turn that brought results and did not complete may be repeated: what it added does not count as an answer. */
const isCutShort = ({ state }: CalledItem) => state === "interrupted" || state === "cancelled"

const callsOfTurn = (items: ReadonlyArray<CalledItem>, turnId: TurnId): CallsOfTurn => {
  const isCall = ({ turnId: id, payload }: CalledItem) =>
    id === turnId && payload.type === "tool_call" && payload.runBy === undefined
  const calls = items.flatMap((item) =>
    isCall(item) && item.payload.type === "tool_call" ? [item.payload] : [],
  )
  const results = new Map<string, { readonly output: string; readonly isFinal: boolean }>()
  const cutShort = new Set<TurnId>()
  /** The turn of the newest call with an id: some servers count the calls of each answer from 0. */
  const callers = new Map<string, TurnId>()
  for (const item of items) {
    const { payload } = item
    if (payload.type === "tool_call") callers.set(payload.callId, item.turnId)
    if (payload.type !== "tool_result" || callers.get(payload.callId) !== turnId) continue
    if (isCutShort(item)) cutShort.add(item.turnId)
    results.set(payload.callId, { output: payload.output, isFinal: !isCutShort(item) })
  }
  const isOver = items
    .slice(items.findLastIndex(isCall) + 1)
    .some(
      ({ turnId: id, payload }) =>
        !cutShort.has(id) && (payload.type === "message" || (payload.type === "tool_call" && id !== turnId)),
    )
  return { calls, results, isOver }
}

/** The turn's calls that wait for a result. `items`: those of the conversation from the turn's first call on. */
export const openCalls = (items: ReadonlyArray<CalledItem>, turnId: TurnId): ReadonlyArray<ToolCall> => {
  const { calls, results, isOver } = callsOfTurn(items, turnId)
  return isOver
    ? []
    : calls
        .filter(({ callId }) => !results.has(callId))
        .map(({ callId, name, arguments: args }) => ({ callId, name, arguments: args }))
}

/**
 * Which of the results have to be added, if they are those of all open calls of the turn. A result that an earlier try brought,
 * which was not answered, may be brought again. `items` as for `openCalls`.
 */
export const resultsToAdd = (
  items: ReadonlyArray<CalledItem>,
  turnId: TurnId,
  given: ReadonlyArray<GivenResult>,
): Either.Either<ReadonlyArray<GivenResult>, CallsRefusal> => {
  const { calls, results, isOver } = callsOfTurn(items, turnId)
  for (const [at, { callId, output }] of given.entries()) {
    if (!calls.some((call) => call.callId === callId)) {
      return Either.left(
        new ToolResultsMismatch({
          field: `results.${at}.callId`,
          reason: "the turn has no such call for its client",
        }),
      )
    }
    const known = results.get(callId)
    if (known !== undefined && (isOver || known.isFinal || known.output !== output)) {
      return Either.left(new ToolCallAnswered({ callId }))
    }
  }
  if (isOver) return Either.left(new ToolCallsClosed())
  const missing = calls.find(
    ({ callId }) => !results.has(callId) && !given.some((each) => each.callId === callId),
  )
  if (missing !== undefined) {
    return Either.left(
      new ToolResultsMismatch({
        field: "results",
        reason: `the call ${missing.callId} has no result. Send the results of all calls of the turn at once`,
      }),
    )
  }
  return Either.right(given.filter(({ callId }) => !results.has(callId)))
}
