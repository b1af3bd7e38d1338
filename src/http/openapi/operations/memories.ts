import { MemoryList } from "../../payloads.ts"
import { describe, json } from "../operation.ts"

const memory = {
  id: "7c1f9a52-3b0e-4d52-9a55-6c1d2e8f4a33",
  text: "Prefers trains to planes.",
  createdAt: "2026-01-31T12:00:00.000Z",
}
const inAccount = { tag: "Account", countedAs: "requests" } as const

export const list = describe({
  ...inAccount,
  id: "listMemories",
  summary: "List memories",
  description:
    "What agents remember of the user, oldest first: at most 200 facts of at most 500 characters. Agents add them where the operator has turned the memory on.",
  answers: [{ status: 200, description: "The memories.", content: json(MemoryList, { memories: [memory] }) }],
})

export const removeAll = describe({
  ...inAccount,
  id: "deleteMemories",
  summary: "Delete all memories",
  answers: [{ status: 204, description: "Nothing is remembered of the user any more." }],
})

export const remove = describe({
  ...inAccount,
  id: "deleteMemory",
  summary: "Delete a memory",
  path: { id: "The memory's id." },
  answers: [{ status: 204, description: "The memory is deleted." }],
  failures: ["MemoryNotFound"],
})
