import { Predicate } from "effect"

/** A name, not a sentence: sentences may quote the conversation. */
const isName = (value: unknown): value is string => typeof value === "string" && /^[\w.:-]{1,64}$/.test(value)

/** The `code` and `type` of an error object in a JSON body, for the log: ` (code model_not_found)`. "" if it has none. */
export const errorCodeIn = (body: Uint8Array): string => {
  const json: unknown = parse(new TextDecoder().decode(body))
  const error = Predicate.hasProperty(json, "error") && Predicate.isRecord(json.error) ? json.error : json
  if (!Predicate.isRecord(error)) return ""
  const named = ["code", "type"].flatMap((name) => {
    const value = error[name]
    return isName(value) || typeof value === "number" ? [`${name} ${value}`] : []
  })
  return named.length === 0 ? "" : ` (${named.join(", ")})`
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
