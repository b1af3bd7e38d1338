import { type Memory, readMemoryList, readOneSecret, readSecretList, type Secret } from "./model.ts"
import { nothing } from "./read.ts"
import type { Call } from "./request.ts"

/** The secrets of your agents' tools. Their values are never shown. */
export interface Secrets {
  readonly list: () => Promise<ReadonlyArray<Secret>>
  /** Stores a secret, or replaces its value. */
  readonly set: (name: string, value: string) => Promise<Secret>
  readonly remove: (name: string) => Promise<void>
}

/** What agents remember of you. */
export interface Memories {
  /** Oldest first. */
  readonly list: () => Promise<ReadonlyArray<Memory>>
  readonly remove: (id: string) => Promise<void>
  readonly removeAll: () => Promise<void>
}

export const makeSecrets = (call: Call): Secrets => {
  const secrets = "/users/me/secrets"
  const path = (name: string) => `${secrets}/${encodeURIComponent(name)}`
  return {
    list: async () => (await call("GET", secrets, { read: readSecretList })).secrets,
    set: async (name, value) =>
      (await call("PUT", path(name), { body: { value }, read: readOneSecret })).secret,
    remove: (name) => call("DELETE", path(name), { read: nothing }),
  }
}

export const makeMemories = (call: Call): Memories => ({
  list: async () => (await call("GET", "/memories", { read: readMemoryList })).memories,
  remove: (id) => call("DELETE", `/memories/${encodeURIComponent(id)}`, { read: nothing }),
  removeAll: () => call("DELETE", "/memories", { read: nothing }),
})
