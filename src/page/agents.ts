import {
  type Agent,
  type Client,
  type ListedAgent,
  VoiceAgentError,
  type WarnedAgent,
} from "../client/client.ts"
import { FormProblem, makeAgentForm } from "./agent-form.ts"
import { confirmDelete } from "./confirm.ts"
import { button, byId, make } from "./dom.ts"
import { problemOf } from "./problems.ts"

/** The agent of the operator. */
export const operatorsAgent = "default"

interface AgentsEvents {
  /** A new conversation with the agent is wanted. */
  readonly onTry: (id: string) => void
  /** The list of agents has changed. */
  readonly onChanged: (agents: ReadonlyArray<ListedAgent>) => void
  readonly onFailure: (error: unknown) => void
}

/** The dialog that lists and edits the person's agents. */
export interface AgentsDialog {
  /** Reads the list again. */
  readonly refresh: () => Promise<void>
  readonly close: () => void
}

/** The service's messages begin with the field at fault: `llm.model: must be …`. */
const fieldOf = (error: unknown) => {
  if (error instanceof FormProblem) return error.field
  if (!(error instanceof VoiceAgentError)) return undefined
  if (error.code === "AGENT_NAME_TAKEN") return "name"
  return error.code === "VALIDATION_ERROR" ? /^([\w.]+): /.exec(error.message)?.[1] : undefined
}

const messageOf = (error: unknown) => {
  if (error instanceof FormProblem) return error.message
  if (error instanceof VoiceAgentError && error.code === "AGENT_CHANGED")
    return "Somebody changed this agent meanwhile. Open it again to see the change."
  const { what, next } = problemOf(error)
  return fieldOf(error) === undefined ? `${what} ${next}` : what
}

/** One line for each. Empty without any. */
const textOfWarnings = ({ warnings = [] }: Pick<WarnedAgent, "warnings">) =>
  warnings.length === 0
    ? ""
    : ["Not all of it works now.", ...warnings.map(({ field, message }) => `${field}: ${message}`)].join("\n")

export const makeAgentsDialog = (client: () => Client, events: AgentsEvents): AgentsDialog => {
  const dialog = byId("agents", HTMLDialogElement)
  const list = byId("agent-list", HTMLUListElement)
  const element = byId("agent-form", HTMLFormElement)
  const note = byId("agent-note", HTMLElement)
  const warnings = byId("agent-warnings", HTMLElement)
  const problem = byId("agent-problem", HTMLElement)
  const form = makeAgentForm(element)
  const [save, drop, copy] = [button("save-agent"), button("delete-agent"), button("copy-agent")]
  let agents: ReadonlyArray<ListedAgent> = []
  let defaults: Agent | undefined
  /** Undefined: a new agent. */
  let shown: Agent | undefined

  const showList = () => {
    list.replaceChildren(
      ...agents.map(({ id, name }) => {
        const open = make(
          "button",
          { type: "button", ...(id === shown?.id ? { "aria-current": "true" } : {}) },
          name,
        )
        open.addEventListener("click", () => select(id))
        return make("li", {}, open)
      }),
    )
    list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" })
  }

  const refresh = async () => {
    agents = await client().agents.list()
    showList()
    events.onChanged(agents)
  }

  const complain = (error: unknown) => {
    problem.textContent = messageOf(error)
    form.mark(fieldOf(error))
  }

  const show = (agent: WarnedAgent | undefined, from: Agent) => {
    shown = agent
    problem.textContent = ""
    warnings.textContent = textOfWarnings(agent ?? {})
    form.mark(undefined)
    form.show(agent, from)
    const isOperators = agent?.id === operatorsAgent
    note.textContent = isOperators
      ? "The operator’s agent. To change it, make a copy."
      : agent === undefined
        ? "A new agent. What you leave empty is as the operator has it."
        : `Version ${agent.version}. Conversations keep the version that they began with.`
    save.hidden = isOperators
    drop.hidden = isOperators || agent === undefined
    copy.hidden = agent === undefined
    showList()
  }

  const select = (id: string) => read(id).catch(complain)
  const read = async (id: string) => {
    const from = defaults ?? (await client().agents.get(operatorsAgent))
    defaults = from
    show(id === operatorsAgent ? from : await client().agents.get(id), from)
  }

  /** Saves what the form has, and returns the agent. */
  const store = async (): Promise<Agent> => {
    problem.textContent = ""
    warnings.textContent = ""
    form.mark(undefined)
    const { name, ...changes } = form.read(shown)
    const given = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== null))
    const version = shown?.version ?? undefined
    const stored =
      shown === undefined
        ? await client().agents.create({ ...given, name })
        : await client().agents.update(shown.id, { ...changes, name, version })
    if (defaults !== undefined) show(stored, defaults)
    await refresh()
    return stored
  }

  const remove = async () => {
    const agent = shown
    if (agent === undefined) return
    const question = `“${agent.name}” will be deleted for good. Its conversations can be read, but not continued with it.`
    if (!(await confirmDelete("Delete this agent?", question))) return
    await client().agents.delete(agent.id)
    await refresh()
    await read(operatorsAgent)
  }

  const tryIt = async () => {
    const { id } = shown?.id === operatorsAgent ? shown : await store()
    dialog.close()
    events.onTry(id)
  }

  const open = async () => {
    await refresh()
    await read(shown?.id ?? agents.at(1)?.id ?? operatorsAgent)
    dialog.showModal()
  }

  element.addEventListener("submit", (event) => {
    event.preventDefault()
    store().catch(complain)
  })
  button("try-agent").addEventListener("click", () => tryIt().catch(complain))
  drop.addEventListener("click", () => remove().catch(complain))
  button("new-agent").addEventListener("click", () => {
    if (defaults === undefined) return
    show(undefined, defaults)
    byId("agent-name", HTMLInputElement).focus()
  })
  copy.addEventListener("click", () => {
    if (defaults === undefined || shown === undefined) return
    const { name, tts, llm, ...own } = shown
    // The operator's models and voice are what an agent has without its own.
    const stages = shown.id === operatorsAgent ? {} : { tts, llm }
    show(undefined, defaults)
    form.show({ ...own, ...stages, id: "", name: `${name} copy` }, defaults)
    byId("agent-name", HTMLInputElement).select()
  })
  button("open-agents").addEventListener("click", () => open().catch(events.onFailure))
  button("close-agents").addEventListener("click", () => dialog.close())

  return {
    refresh,
    close: () => {
      agents = []
      defaults = undefined
      shown = undefined
      dialog.close()
    },
  }
}
