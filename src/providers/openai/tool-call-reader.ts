import { Option, Predicate } from "effect"
import { parseJson } from "../json.ts"
import type { ToolCall } from "../tools.ts"

interface Draft {
  readonly index: number | undefined
  id: string
  name: string
  arguments: string
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "")

/** The arguments are a text in pieces; some servers send them as an object, or under the name that another API has for them. */
const argumentsOf = (called: Readonly<Record<string, unknown>>): string => {
  const value = called.arguments ?? called.parameters ?? called.input
  if (typeof value === "string") return value
  return Predicate.isRecord(value) ? JSON.stringify(value) : ""
}

const indexOf = (value: unknown): number | undefined => {
  const index = typeof value === "string" && value !== "" ? Number(value) : value
  return typeof index === "number" && Number.isInteger(index) ? index : undefined
}

const isWhole = (json: string) => Option.exists(parseJson(json), Predicate.isRecord)

/**
 * Assembles the tool calls of one answer. OpenAI sends a call's index in every piece, its id and its name in the first one, and
 * its arguments as text. Other servers leave out the index, send 0 for every call, leave out the id or repeat it, repeat the
 * name, send a call in one piece, or the arguments as an object.
 */
export const makeToolCallReader = () => {
  const drafts: Array<Draft> = []
  let written = 0

  const begin = (index: number | undefined, id: string): Draft => {
    const draft = { index, id, name: "", arguments: "" }
    drafts.push(draft)
    return draft
  }

  /** The call that the piece continues. Undefined: it begins another one. */
  const continued = (index: number | undefined, id: string, name: string): Draft | undefined => {
    if (id !== "") {
      const same = drafts.findLast(
        (draft) => draft.id === id && (index === undefined || draft.index === index),
      )
      if (same !== undefined) return same
    }
    const last = index === undefined ? drafts.at(-1) : drafts.findLast((draft) => draft.index === index)
    if (last === undefined) return undefined
    // Ollama gave every call the index 0.
    if (id !== "" && last.id !== "") return undefined
    if (name === "" || last.name === "") return last
    // A server that repeats the name does so until the arguments are whole.
    return name === last.name && !isWhole(last.arguments) ? last : undefined
  }

  const add = (piece: unknown) => {
    if (!Predicate.isRecord(piece)) return
    const called = Predicate.isRecord(piece.function) ? piece.function : piece
    const index = indexOf(piece.index)
    const id = textOf(piece.id)
    const name = textOf(called.name)
    const args = argumentsOf(called)
    if (id === "" && name === "" && args === "") return
    const draft = continued(index, id, name) ?? begin(index, id)
    if (draft.id === "") draft.id = id
    if (draft.name === "") {
      draft.name = name
      written += name.length
    }
    // Some servers repeat a whole call at the end.
    if (args === draft.arguments && isWhole(args)) return
    draft.arguments += args
    written += args.length
  }

  return {
    /** Reads the calls of a `delta` or a `message`. Returns how many UTF-16 units of names and arguments they add. */
    read: ({ tool_calls, function_call }: Readonly<Record<string, unknown>>): number => {
      const before = written
      const hasCalls = Array.isArray(tool_calls) ? tool_calls.length > 0 : Predicate.isRecord(tool_calls)
      if (Array.isArray(tool_calls)) for (const piece of tool_calls) add(piece)
      else add(tool_calls)
      // The API before `tool_calls`. A server that sends both means one call.
      if (!hasCalls && drafts.every(({ index, id }) => index === undefined && id === "")) add(function_call)
      return written - before
    },
    calls: (): ReadonlyArray<ToolCall> =>
      drafts.map(({ id, name, arguments: args }) => ({ callId: id, name, arguments: args })),
  }
}
