import type { ListedAgent } from "../client/client.ts"
import { operatorsAgent } from "./agents.ts"
import { byId, make } from "./dom.ts"

/** The choice of the agent that answers the open conversation. Hidden while there is one agent only. */
export interface AgentChoice {
  readonly offer: (agents: ReadonlyArray<ListedAgent>) => void
  /** Shows the agent of the open conversation. */
  readonly show: (id: string) => void
  readonly id: () => string
}

export const makeAgentChoice = (onChoice: (id: string) => void): AgentChoice => {
  const choice = byId("agent-choice", HTMLElement)
  const select = byId("agent", HTMLSelectElement)
  let agents: ReadonlyArray<Pick<ListedAgent, "id" | "name">> = []
  let id = operatorsAgent

  const draw = () => {
    const isKnown = agents.some((agent) => agent.id === id)
    const all = isKnown ? agents : [...agents, { id, name: "Deleted agent" }]
    select.replaceChildren(...all.map((agent) => make("option", { value: agent.id }, agent.name)))
    select.value = id
    choice.hidden = all.length < 2
  }
  select.addEventListener("change", () => {
    id = select.value
    onChoice(id)
  })

  return {
    offer: (offered) => {
      agents = offered
      draw()
    },
    show: (shown) => {
      id = shown
      draw()
    },
    id: () => id,
  }
}
