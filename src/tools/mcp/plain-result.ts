import { Option, Predicate } from "effect"
import { resultText } from "./content.ts"
import { maxTools } from "./tool-list.ts"

type Json = Readonly<Record<string, unknown>>

/** Versions of the protocol that a server may name. There are five. */
const maxVersions = 100

const pick = (value: unknown, ...names: ReadonlyArray<string>): Json =>
  Predicate.isRecord(value)
    ? Object.fromEntries(names.flatMap((name) => (Object.hasOwn(value, name) ? [[name, value[name]]] : [])))
    : {}

/** What the service reads of a server that introduces itself. */
const introduction = (result: Json): Json => {
  const { capabilities, serverInfo, supportedVersions } = result
  const tools = Predicate.isRecord(capabilities) ? capabilities.tools : undefined
  return {
    ...pick(result, "protocolVersion", "resultType", "ttlMs", "cacheScope"),
    capabilities: tools === undefined ? {} : { tools: pick(tools, "listChanged") },
    ...(serverInfo === undefined ? {} : { serverInfo: pick(serverInfo, "name", "version") }),
    ...(Array.isArray(supportedVersions)
      ? { supportedVersions: supportedVersions.slice(0, maxVersions) }
      : {}),
  }
}

const list = (result: Json, tools: ReadonlyArray<unknown>): Json => ({
  ...pick(result, "nextCursor", "resultType", "ttlMs", "cacheScope"),
  tools: tools.slice(0, maxTools),
})

/** The result of a call, with all that the model reads as one text. */
const answer = (result: Json): Json =>
  Option.match(resultText(result), {
    onNone: () => result,
    onSome: ({ output, isError }) => ({
      ...pick(result, "resultType"),
      content: [{ type: "text", text: output }],
      isError,
    }),
  })

/**
 * A message of a server, with what the service reads of its result. The SDK checks every value of a result, and describes each
 * that is wrong: 1 MB of wrong blocks would take 10 s.
 */
export const withPlainResult = <Message>(message: Message): Message => {
  if (!Predicate.isRecord(message) || !Predicate.isRecord(message.result)) return message
  const { result } = message
  if (Predicate.isRecord(result.capabilities)) return { ...message, result: introduction(result) }
  return { ...message, result: Array.isArray(result.tools) ? list(result, result.tools) : answer(result) }
}
