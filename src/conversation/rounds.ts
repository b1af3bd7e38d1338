import { Option } from "effect"
import type { ToolCall } from "../providers/tools.ts"
import type { ItemId, TurnId } from "../schema.ts"
import { type NewItem, newItem } from "./item.ts"

/** What came back of a call. */
export interface CallResult {
  /** Of the result's item. */
  readonly itemId: ItemId
  readonly output: string
  readonly isError: boolean
}

/** A tool call of a round. */
export interface RecordedCall extends ToolCall {
  /** Of the call's item. It is also the call's idempotency key. */
  readonly itemId: ItemId
  /** Who runs the tool. The client brings the result later, as an item. */
  readonly by: "client" | "service"
  /** None: the call runs, or its outcome is unknown. */
  readonly result: Option.Option<CallResult>
}

/** A finished round of the model, as a turn that continues another one finds it. */
export interface RecordedRound {
  /** Of the message's item. */
  readonly messageId: ItemId
  /** What the model wrote before it called; may be empty. */
  readonly text: string
  readonly calls: ReadonlyArray<RecordedCall>
}

/** What came back of a call that an earlier turn left to the client. */
export interface BroughtResult {
  /** Of the result's item. */
  readonly itemId: ItemId
  readonly callId: string
  readonly output: string
}

/** What a turn began with. */
export interface RecordedInput {
  /** None: the user said nothing. */
  readonly transcript: Option.Option<string>
  readonly brought: ReadonlyArray<BroughtResult>
}

/** What a turn that was cut off had done. */
export interface RecordedWork extends RecordedInput {
  readonly rounds: ReadonlyArray<RecordedRound>
}

/** The work of a turn that another one with the same Idempotency-Key continues. */
export interface ContinuedWork extends RecordedWork {
  /** The earlier turn. The items of the new one replace those that it saved. */
  readonly replaces: TurnId
}

const callItem = ({ itemId, by, callId, name, arguments: args }: RecordedCall): NewItem => ({
  ...newItem({
    type: "tool_call",
    callId,
    name,
    arguments: args,
    ...(by === "service" ? { runBy: by } : {}),
  }),
  id: itemId,
})

export const resultItem = ({ itemId, callId, output }: BroughtResult): NewItem => ({
  ...newItem({ type: "tool_result", callId, output }),
  id: itemId,
})

/** The items of a round's calls, and of the results that are known. */
export const callItems = (calls: ReadonlyArray<RecordedCall>): ReadonlyArray<NewItem> => [
  ...calls.map(callItem),
  ...calls.flatMap(({ callId, result }) =>
    Option.toArray(result).map(({ itemId, output }) => resultItem({ itemId, callId, output })),
  ),
]
