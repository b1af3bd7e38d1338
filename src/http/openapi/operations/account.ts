import { keyNotice } from "../../../accounts/api-key.ts"
import { Exported } from "../../../accounts/export.ts"
import { ValidationFailed } from "../../errors.ts"
import { Account, ApiKeyList, NewApiKey } from "../../payloads.ts"
import { describe, json } from "../operation.ts"
import { exampleKey } from "./users.ts"

const account = {
  userId: "0b6ad0f4-8a5c-4a4e-8f3b-7d5a1b7d0e11",
  email: "ada@example.com",
  createdAt: "2026-01-31T12:00:00.000Z",
}
const key = {
  id: "5b0b1f0e-51f0-4b6e-8a52-9f2c7a1d4e22",
  name: "Laptop",
  prefix: "sk_0123",
  createdAt: "2026-01-31T12:00:00.000Z",
  lastUsedAt: "2026-02-01T08:30:00.000Z",
  expiresAt: null,
  revokedAt: null,
}
const madeKey = { id: key.id, name: key.name, apiKey: exampleKey, expiresAt: null, message: keyNotice }
const shownOnce = {
  status: 201,
  description: "The key, which is shown this once.",
  headers: ["Cache-Control"],
  content: json(NewApiKey, madeKey),
} as const
const path = { id: "The key's id." }
const ofAccount = { tag: "Account", countedAs: "requests" } as const

export const me = describe({
  ...ofAccount,
  id: "getAccount",
  summary: "Who one is",
  answers: [{ status: 200, description: "The account.", content: json(Account, account) }],
})

export const exportAll = describe({
  ...ofAccount,
  id: "exportAccount",
  summary: "All that is stored of one",
  description: "As a download, streamed however much it is. Without keys themselves, and without speech.",
  answers: [
    {
      status: 200,
      description: "The account, its keys, sessions with their messages, and turns.",
      headers: ["Cache-Control", "Content-Disposition"],
      content: json(Exported, {
        exportedAt: "2026-02-01T09:00:00.000Z",
        user: account,
        keys: [key],
        sessions: [],
        turns: [],
      }),
    },
  ],
})

export const remove = describe({
  ...ofAccount,
  id: "deleteAccount",
  summary: "Delete the account with all of its data",
  example: { email: account.email },
  answers: [{ status: 204, description: "It is gone." }],
  failures: [
    new ValidationFailed({
      message: "email: must be this account's e-mail address, to confirm the deletion",
    }),
    "ConstraintViolated",
  ],
})

export const listKeys = describe({
  ...ofAccount,
  id: "listApiKeys",
  summary: "One's keys",
  description: "Also those that ended not long ago; the newest first. Not the keys themselves.",
  answers: [
    {
      status: 200,
      description: "The keys.",
      content: json(ApiKeyList, { keys: [{ ...key, current: true }] }),
    },
  ],
})

export const createKey = describe({
  ...ofAccount,
  id: "createApiKey",
  summary: "A further key",
  example: { name: "Laptop", expiresAt: "2099-01-31T00:00:00Z" },
  answers: [shownOnce],
  failures: [
    new ValidationFailed({
      message: "expiresAt: must be a future time in ISO 8601, such as 2035-01-31T12:00:00Z",
    }),
    "TooManyApiKeys",
    "ConstraintViolated",
  ],
})

export const rotateKey = describe({
  ...ofAccount,
  id: "rotateApiKey",
  summary: "A key in place of another",
  description: "Of the same name and lifetime. The old one goes on for `graceSeconds`, in which both work.",
  path,
  example: { graceSeconds: 3600 },
  answers: [shownOnce],
  failures: [
    new ValidationFailed({ message: "graceSeconds: must be a number from 0 to 604800" }),
    "ApiKeyNotFound",
    "TooManyApiKeys",
    "ConstraintViolated",
  ],
})

export const revokeKey = describe({
  ...ofAccount,
  id: "revokeApiKey",
  summary: "End a key at once",
  description: "The last key cannot be ended, only rotated.",
  path,
  answers: [{ status: 204, description: "It has ended." }],
  failures: ["ApiKeyNotFound", "LastApiKey", "ConstraintViolated"],
})
