import { Option, Predicate } from "effect"
import { sha256 } from "../hash.ts"
import { parseJson } from "./json.ts"

/** A function that the model may call. */
export interface Tool {
  readonly name: string
  readonly description: Option.Option<string>
  /** The JSON Schema of its arguments, which are an object. */
  readonly parameters: Readonly<Record<string, unknown>>
}

/** `required`: at least one call. `name`: a call of this tool. */
export type ToolChoice = "auto" | "none" | "required" | { readonly name: string }

/** What the model may call in one round. */
export interface ToolOffer {
  readonly tools: ReadonlyArray<Tool>
  readonly toolChoice: ToolChoice
  /** False: one call in a round at most. */
  readonly parallelToolCalls: boolean
  /** True: a call of the client's tools whose arguments do not fit does not reach the client: the model is told. */
  readonly checksArguments?: boolean
  /** True: a model or a server that supports no tools is asked without them. Otherwise the round fails. */
  readonly isOptional?: boolean
}

export const noTools: ToolOffer = { tools: [], toolChoice: "auto", parallelToolCalls: true }

/** A call that the model made. */
export interface ToolCall {
  /** In a model's event: 1 to 64 of `a-z A-Z 0-9 _ -`, and of no other call in the prompt. */
  readonly callId: string
  readonly name: string
  /** The text that the model wrote, `{}` if it wrote none. It may be invalid JSON. */
  readonly arguments: string
}

/** The tools that the model may call in this round. */
export const callableTools = ({ tools, toolChoice }: ToolOffer): ReadonlyArray<Tool> => {
  if (toolChoice === "none") return []
  return typeof toolChoice === "string" ? tools : tools.filter(({ name }) => name === toolChoice.name)
}

const isObject = (json: string) => Option.exists(parseJson(json), Predicate.isRecord)

/** As OpenAI and most other servers accept names of tools. */
const maxNameLength = 64

/** A name that servers accept. What a name cannot have becomes `_`; a long one ends in a hash. */
export const toToolName = (name: string): string => {
  const clean = name.replace(/[^a-zA-Z0-9_-]/g, "_")
  return clean.length <= maxNameLength
    ? clean
    : `${clean.slice(0, maxNameLength - 9)}_${sha256(name).slice(0, 8)}`
}

/** Models write `functions.get_weather`, `default_api:get_weather` and other cases than those of the tool. */
const bareName = (name: string) => (name.split(/[.:/]/).at(-1) ?? name).trim().toLowerCase()

/** The offered name that the model means. A call without a name can only mean the one tool there is. */
const nameOf = (name: string, tools: ReadonlyArray<Tool>): Option.Option<string> => {
  if (tools.some((tool) => tool.name === name)) return Option.some(name)
  const [only] = tools
  const meant =
    name.trim() === "" && tools.length === 1
      ? only
      : tools.find((tool) => bareName(tool.name) === bareName(name) || tool.name === toToolName(name))
  return Option.map(Option.fromNullable(meant), (tool) => tool.name)
}

/** JSON that a server encoded twice, that stands in a code fence, or that comes after a placeholder: `{}{"city":"Oslo"}`. */
const repairs: ReadonlyArray<(text: string) => string> = [
  (text) => Option.getOrElse(Option.filter(parseJson(text), Predicate.isString), () => text),
  (text) => text.replace(/^```\w*|```$/g, "").trim(),
  (text) => text.replace(/^(?:\{\s*\})+/, ""),
  // The same arguments twice.
  (text) =>
    text.slice(0, text.length / 2) === text.slice(text.length / 2) ? text.slice(text.length / 2) : text,
]

/** The arguments as a JSON object where they are one, or can be read as one; otherwise as the model wrote them. */
const argumentsOf = (written: string): string => {
  const text = written.trim()
  if (text === "" || text === "null" || text === '""') return "{}"
  return isObject(text)
    ? text
    : (repairs.map((repair) => repair(text)).find(isObject) ?? written.toWellFormed())
}

/** An id for a call that came without one. */
export const newCallId = (): string => `call_${crypto.randomUUID().replaceAll("-", "")}`

/** A call without a name, where several tools are offered. */
const namelessTool = "unknown"

/** What is known of the answer that has the calls. */
interface Answer {
  /** The answer ended at a limit. */
  readonly isCut: boolean
  /** The answer has words, too. */
  readonly hasText: boolean
  /** The earlier calls in the prompt. Some servers count the ids of each answer from 0. */
  readonly earlier: ReadonlyArray<ToolCall>
}

/**
 * The calls that can be answered, with the names and the ids of this side. Left out are calls of a tool that is not offered,
 * all but the first if one is allowed, and, of an answer that was cut, calls that are not whole. A tool that was called before
 * and is not offered any more counts: a model that repeats its earlier calls must read that the tool is gone. Of an answer that
 * has nothing else, calls of tools that do not exist count too: the model must read so.
 */
export const usableCalls = (
  offer: ToolOffer,
  calls: ReadonlyArray<ToolCall>,
  { isCut, hasText, earlier }: Answer,
): ReadonlyArray<ToolCall> => {
  const tools = callableTools(offer)
  const taken = new Set(earlier.map(({ callId }) => callId))
  const mayCallAll = typeof offer.toolChoice === "string" && offer.toolChoice !== "none"
  const isGone = (name: string) => mayCallAll && earlier.some((call) => call.name === name)
  const idOf = (id: string) => {
    const callId = /^[a-zA-Z0-9_-]{1,64}$/.test(id) && !taken.has(id) ? id : newCallId()
    taken.add(callId)
    return callId
  }
  const named = (nameFor: (name: string) => Option.Option<string>) =>
    calls.flatMap(({ callId, name, arguments: written }) => {
      const known = nameFor(name)
      if (Option.isNone(known) || (isCut && !isObject(written))) return []
      return [{ callId: idOf(callId), name: known.value, arguments: argumentsOf(written) }]
    })
  const known = named((name) => Option.orElse(nameOf(name, tools), () => Option.liftPredicate(name, isGone)))
  const usable =
    known.length > 0 || hasText || !mayCallAll
      ? known
      : named((name) => Option.some(name.trim() === "" ? namelessTool : toToolName(name)))
  return offer.parallelToolCalls ? usable : usable.slice(0, 1)
}
