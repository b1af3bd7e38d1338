import { keyNotice } from "../../../accounts/api-key.ts"
import { Exported } from "../../../conversation/exported.ts"
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
const newKey = { id: key.id, name: key.name, apiKey: exampleKey, expiresAt: null, message: keyNotice }
const keyCreated = {
  status: 201,
  description: "The API key. The service shows it only once.",
  headers: ["Cache-Control"],
  content: json(NewApiKey, newKey),
} as const
const path = { id: "The key's id." }
const inAccount = { tag: "Account", countedAs: "requests" } as const

export const me = describe({
  ...inAccount,
  id: "getAccount",
  summary: "Get the account",
  answers: [{ status: 200, description: "The account.", content: json(Account, account) }],
})

export const exportAll = describe({
  ...inAccount,
  id: "exportAccount",
  summary: "Export all data",
  description:
    "Streams a JSON file with the account, its keys, its memories, the names of its secrets, its webhooks with their deliveries, its sessions with their messages, and its turns. The file contains no API key and no audio.",
  answers: [
    {
      status: 200,
      description: "The export.",
      headers: ["Cache-Control", "Content-Disposition"],
      content: json(Exported, {
        exportedAt: "2026-02-01T09:00:00.000Z",
        user: { ...account, monthlyLimit: "default" },
        keys: [key],
        memories: [],
        secrets: [],
        webhooks: [],
        clientSecrets: [],
        webhookDeliveries: [],
        agents: [],
        sessions: [],
        turns: [],
        usage: [],
      }),
    },
  ],
})

export const remove = describe({
  ...inAccount,
  id: "deleteAccount",
  summary: "Delete the account",
  description:
    "Deletes the account and all of its data for good. The body confirms it with the account's e-mail address.",
  example: { email: account.email },
  answers: [{ status: 204, description: "The account is deleted." }],
  failures: [
    new ValidationFailed({
      message: "email: must be this account's e-mail address, to confirm the deletion",
    }),
    "ConstraintViolated",
  ],
})

export const listKeys = describe({
  ...inAccount,
  id: "listApiKeys",
  summary: "List API keys",
  description:
    "Newest first, including recently revoked and expired keys. The list contains no API key itself, only its prefix.",
  answers: [
    {
      status: 200,
      description: "The API keys.",
      content: json(ApiKeyList, { keys: [{ ...key, current: true }] }),
    },
  ],
})

export const createKey = describe({
  ...inAccount,
  id: "createApiKey",
  summary: "Create an API key",
  example: { name: "Laptop", expiresAt: "2099-01-31T00:00:00Z" },
  answers: [keyCreated],
  failures: [
    new ValidationFailed({
      message: "expiresAt: must be a future time in ISO 8601, such as 2035-01-31T12:00:00Z",
    }),
    "TooManyApiKeys",
    "ConstraintViolated",
  ],
})

export const rotateKey = describe({
  ...inAccount,
  id: "rotateApiKey",
  summary: "Rotate an API key",
  description:
    "Creates a key with the same name and lifetime, and revokes the old one after `graceSeconds`. Until then both work.",
  path,
  example: { graceSeconds: 3600 },
  answers: [keyCreated],
  failures: [
    new ValidationFailed({ message: "graceSeconds: must be a number from 0 to 604800" }),
    "ApiKeyNotFound",
    "TooManyApiKeys",
    "ConstraintViolated",
  ],
})

export const revokeKey = describe({
  ...inAccount,
  id: "revokeApiKey",
  summary: "Revoke an API key",
  description: "The key stops working at once. The last key of an account can only be rotated.",
  path,
  answers: [{ status: 204, description: "The key is revoked." }],
  failures: ["ApiKeyNotFound", "LastApiKey", "ConstraintViolated"],
})
