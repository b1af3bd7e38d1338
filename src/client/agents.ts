import {
  type Agent,
  type AgentDefinition,
  type AgentVersion,
  type ListedAgent,
  type OneAgent,
  readAgentList,
  readAgentVersions,
  readOneAgent,
} from "./model.ts"
import { newKey } from "./new-key.ts"
import { nothing } from "./read.ts"
import { type Call, queryOf } from "./request.ts"

/** Null removes a field: it is then as the operator has it. */
export type AgentChanges = { readonly [Field in keyof AgentDefinition]?: AgentDefinition[Field] | null } & {
  /** The change is made only if this is the newest version; otherwise it fails with AGENT_CHANGED. */
  readonly version?: number | undefined
}

/** `warnings`: what would fail in a turn now. Absent if nothing would. */
export type WarnedAgent = Agent & Pick<OneAgent, "warnings">

const withWarnings = ({ agent, warnings }: OneAgent): WarnedAgent =>
  warnings === undefined ? agent : { ...agent, warnings }

export interface Agents {
  /** That of the operator, `default`, and yours by name. */
  readonly list: () => Promise<ReadonlyArray<ListedAgent>>
  readonly get: (id: string) => Promise<WarnedAgent>
  readonly create: (definition: AgentDefinition) => Promise<WarnedAgent>
  /** Adds a version. Each field replaces the earlier one as a whole. */
  readonly update: (id: string, changes: AgentChanges) => Promise<WarnedAgent>
  readonly delete: (id: string) => Promise<void>
  /** Newest first. `limit`: 1 to 100, 20 by default. `before`: a version. */
  readonly versions: (
    id: string,
    page?: { readonly limit?: number; readonly before?: number },
  ) => Promise<ReadonlyArray<AgentVersion>>
}

export const makeAgents = (call: Call): Agents => {
  const path = (id: string) => `/agents/${encodeURIComponent(id)}`
  return {
    list: async () => (await call("GET", "/agents", { read: readAgentList })).agents,
    get: async (id) => withWarnings(await call("GET", path(id), { read: readOneAgent })),
    create: async (definition) => {
      const headers = { "idempotency-key": newKey() }
      const request = { body: definition, headers, isIdempotent: true, read: readOneAgent }
      return withWarnings(await call("POST", "/agents", request))
    },
    update: async (id, changes) =>
      withWarnings(await call("PATCH", path(id), { body: changes, read: readOneAgent })),
    delete: (id) => call("DELETE", path(id), { read: nothing }),
    versions: async (id, page = {}) =>
      (await call("GET", `${path(id)}/versions${queryOf({ ...page })}`, { read: readAgentVersions }))
        .versions,
  }
}
