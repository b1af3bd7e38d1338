import { type Array as Arr, Option } from "effect"
import type { NewItem } from "../conversation/item.ts"
import type { PromptMessage } from "../providers/language-model.ts"
import type { ToolCall } from "../providers/tools.ts"
import { withoutMarkup } from "../text/machine-markup.ts"
import { unknownOutcome } from "../tools/answers.ts"

/** The parts of an item that a prompt shows. */
export type PromptItem = Pick<NewItem, "payload" | "interrupted">

/** The text of a history's summary, which takes the place of the items before it, and the items after it. */
export const splitSummary = <One extends PromptItem>(history: ReadonlyArray<One>) => {
  const at = history.findLastIndex(({ payload }) => payload.type === "summary")
  const payload = history[at]?.payload
  return {
    summary: payload?.type === "summary" ? Option.some(payload.text) : Option.none<string>(),
    items: history.slice(at + 1),
  }
}

/** A model that saw this in its own words would learn to write it, so it is a note of its own. */
const interruption = "The reply above was interrupted. The user heard it only up to this point."

/**
 * The messages in groups, oldest first. Each but the first begins with a user's message, so that nothing is lost where a
 * history is cut between two groups. The first is what stands before the first user's message; it may be empty.
 *
 * The messages are such that every model takes them. A call is followed by its result, also where other items stand
 * between the two, or by the sentence that its outcome is unknown. A result without its call is left out, and so is an
 * empty message. Replies that an earlier version saved may contain thinking, which the model must not see again.
 */
export const groupMessages = (
  items: ReadonlyArray<PromptItem>,
): Arr.NonEmptyReadonlyArray<ReadonlyArray<PromptMessage>> => {
  const results = resultPlaces(items)
  const first: Array<PromptMessage> = []
  let group = first
  const groups: Arr.NonEmptyArray<Array<PromptMessage>> = [first]
  /** The calls since the last message. */
  let calls: Array<{ readonly call: ToolCall; readonly result: string }> = []

  const endCalls = () => {
    if (calls.length === 0) return
    const toolCalls = calls.map(({ call }) => call)
    const last = group.at(-1)
    // What the model said before it called is of the same answer.
    if (last?.role === "assistant" && last.toolCalls === undefined)
      group[group.length - 1] = { ...last, toolCalls }
    else group.push({ role: "assistant", content: "", toolCalls })
    group.push(
      ...calls.map(({ call, result }) => ({ role: "tool" as const, callId: call.callId, content: result })),
    )
    calls = []
  }

  const addMessage = (role: "user" | "assistant" | "system", text: string, interrupted: boolean) => {
    const content = (role === "assistant" ? withoutMarkup(text) : text).toWellFormed()
    if (content.trim() === "") return
    endCalls()
    if (role === "user") {
      group = []
      groups.push(group)
    }
    group.push({ role, content })
    if (role === "assistant" && interrupted) group.push({ role: "note", content: interruption })
  }

  for (const [at, { payload, interrupted }] of items.entries()) {
    if (payload.type === "message") addMessage(payload.role, payload.text, interrupted)
    if (payload.type === "tool_call") {
      const { callId, name, arguments: args } = payload
      const result = items[results.get(at) ?? -1]?.payload
      calls.push({
        call: { callId, name, arguments: args.toWellFormed() },
        result: result?.type === "tool_result" ? result.output.toWellFormed() : unknownOutcome,
      })
    }
    // The calls of the next round are of another answer.
    if (payload.type === "tool_result") endCalls()
  }
  endCalls()
  return groups
}

/** The place of each call's result, by the call's place: the newest one before another call with the same id. */
export const resultPlaces = (items: ReadonlyArray<PromptItem>): ReadonlyMap<number, number> => {
  const placeOf = new Map<string, number>()
  const results = new Map<number, number>()
  for (const [at, { payload }] of items.entries()) {
    if (payload.type === "tool_call") placeOf.set(payload.callId, at)
    if (payload.type !== "tool_result") continue
    const place = placeOf.get(payload.callId)
    if (place !== undefined) results.set(place, at)
  }
  return results
}
