import { Predicate } from "effect"

/** The fields with a model's id: OpenAI's `id`, Ollama's `model` and `name`, LM Studio's `key`. */
const idFields = ["id", "model", "name", "key"] as const

const idOf = (entry: unknown): string | undefined => {
  if (typeof entry === "string") return entry
  const id = idFields.map((field) => (Predicate.hasProperty(entry, field) ? entry[field] : undefined))
  return id.find((value) => typeof value === "string")
}

/** `models/gemini-2.5-flash` is `gemini-2.5-flash`, and `llama3.2:latest` is `llama3.2`. */
const plain = (id: string) => id.replace(/^models\//, "").replace(/:latest$/, "")

/** A list of models, whatever its shape; undefined where the answer has none. */
const listIn = (body: unknown): ReadonlyArray<unknown> | undefined => {
  if (Array.isArray(body)) return body
  for (const field of ["data", "models"]) {
    if (!Predicate.hasProperty(body, field)) continue
    const list = body[field]
    // Ollama without models.
    if (list === null) return []
    if (Array.isArray(list)) return list
  }
  return undefined
}

/** Whether the answer of a server lists the model. */
export const findModel = (text: string, model: string): "listed" | "not listed" | "no list" | "no JSON" => {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    return "no JSON"
  }
  const list = listIn(body)
  if (list === undefined) return "no list"
  const ids = list.map(idOf)
  return ids.some((id) => id !== undefined && plain(id) === plain(model)) ? "listed" : "not listed"
}
