import type { Agent, AgentChanges, AgentTool } from "../client/client.ts"
import { byId } from "./dom.ts"

/** What is wrong with a field, before the service is asked. */
export class FormProblem extends Error {
  /** The name of the field. */
  readonly field: string
  constructor(field: string, message: string) {
    super(message)
    this.field = field
  }
}

/** The fields of an agent that the form has. Empty ones are as the operator has them. */
export interface AgentForm {
  /** Fills the form. `defaults`: of the operator, shown in empty fields. */
  readonly show: (agent: Agent | undefined, defaults: Agent) => void
  /** The fields, null for those that are empty. Throws a FormProblem. `of`: what they change. */
  readonly read: (of: Agent | undefined) => AgentChanges & { readonly name: string }
  /** Marks the field that an error names, such as `tools.0.url`, and moves the focus there. */
  readonly mark: (field: string | undefined) => void
}

const words = (text: string) =>
  text
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "")

/** Of an object whose other fields stay. Null if nothing is left of it. */
const merged = <A extends object>(earlier: A | undefined, changes: Partial<A>) => {
  const all = Object.entries({ ...earlier, ...changes }).filter(
    ([, value]) => value !== undefined && value !== "",
  )
  return all.length === 0 ? null : Object.fromEntries(all)
}

const readTemperature = (text: string): number | undefined => {
  if (text === "") return undefined
  const value = Number(text.replace(",", "."))
  if (!Number.isFinite(value)) throw new FormProblem("llm.temperature", "The temperature must be a number.")
  return value
}

/** The service checks the rest, and names what is wrong. */
const isTools = (value: unknown): value is ReadonlyArray<AgentTool> =>
  Array.isArray(value) &&
  value.every((each: unknown) => typeof each === "object" && each !== null && "type" in each)

const readTools = (text: string): ReadonlyArray<AgentTool> => {
  let value: unknown = []
  try {
    if (text !== "") value = JSON.parse(text)
  } catch {
    throw new FormProblem("tools", "The tools are not valid JSON.")
  }
  if (!isTools(value)) throw new FormProblem("tools", "The tools must be a list of objects with a type.")
  return value
}

export const makeAgentForm = (form: HTMLFormElement): AgentForm => {
  const name = byId("agent-name", HTMLInputElement)
  const instructions = byId("agent-instructions", HTMLTextAreaElement)
  const greeting = byId("agent-greeting", HTMLTextAreaElement)
  const languages = byId("agent-languages", HTMLInputElement)
  const voice = byId("agent-voice", HTMLInputElement)
  const model = byId("agent-model", HTMLInputElement)
  const temperature = byId("agent-temperature", HTMLInputElement)
  const terms = byId("agent-terms", HTMLInputElement)
  const tools = byId("agent-tools", HTMLTextAreaElement)
  const more = byId("agent-more", HTMLDetailsElement)
  const fields = [name, instructions, greeting, languages, voice, model, temperature, terms, tools]

  return {
    show: (agent, defaults) => {
      const isOwn = agent?.id !== defaults.id
      name.value = agent?.name ?? ""
      instructions.value = agent?.instructions ?? ""
      greeting.value = agent?.greeting ?? ""
      languages.value = (agent?.languages ?? []).join(", ")
      voice.value = agent?.tts?.voice ?? ""
      model.value = agent?.llm?.model ?? ""
      temperature.value = `${agent?.llm?.temperature ?? ""}`
      terms.value = (agent?.keyTerms ?? []).join(", ")
      const defined = agent?.tools ?? []
      tools.value = defined.length === 0 ? "" : JSON.stringify(defined, null, 2)
      instructions.placeholder = defaults.instructions ?? ""
      voice.placeholder = defaults.tts?.voice ?? ""
      model.placeholder = defaults.llm?.model ?? ""
      temperature.placeholder = `${defaults.llm?.temperature ?? ""}`
      for (const field of fields) field.disabled = !isOwn
      form.scrollTop = 0
    },
    read: (of) => ({
      name: name.value.trim(),
      instructions: instructions.value.trim() === "" ? null : instructions.value,
      greeting: greeting.value.trim() === "" ? null : greeting.value.trim(),
      languages: words(languages.value),
      tts: merged(of?.tts, { voice: voice.value.trim() }),
      llm: merged(of?.llm, {
        model: model.value.trim(),
        temperature: readTemperature(temperature.value.trim()),
      }),
      keyTerms: words(terms.value),
      tools: readTools(tools.value.trim()),
    }),
    mark: (at) => {
      for (const field of fields) {
        const isIt = at !== undefined && (at === field.name || at.startsWith(`${field.name}.`))
        field.ariaInvalid = isIt ? "true" : null
        if (!isIt) continue
        if (more.contains(field)) more.open = true
        field.focus()
      }
    },
  }
}
