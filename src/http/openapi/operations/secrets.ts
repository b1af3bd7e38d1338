import { ValidationFailed } from "../../errors.ts"
import { OneSecret, SecretList } from "../../payloads.ts"
import { describe, json } from "../operation.ts"

export const wrongName = "name: must have 1 to 64 letters, digits, _ or -, and begin with a letter"

const secret = {
  name: "ORDERS_KEY",
  createdAt: "2026-01-31T12:00:00.000Z",
  updatedAt: "2026-02-01T08:30:00.000Z",
}
const path = { name: "The secret's name." }
const inAccount = { tag: "Account", countedAs: "requests" } as const

export const list = describe({
  ...inAccount,
  id: "listSecrets",
  summary: "List secrets",
  description: "The names of the secrets that tools can use. Their values are never shown.",
  answers: [
    { status: 200, description: "The secrets, by name.", content: json(SecretList, { secrets: [secret] }) },
  ],
})

export const put = describe({
  ...inAccount,
  id: "putSecret",
  summary: "Store a secret",
  description:
    "Creates a secret for tools, or replaces its value. A tool refers to it as `{{secret:NAME}}`, and has the new value from its next call on.",
  path,
  example: { value: "a key of another service" },
  answers: [
    { status: 200, description: "The secret has a new value.", content: json(OneSecret, { secret }) },
    { status: 201, description: "The secret is stored.", content: json(OneSecret, { secret }) },
  ],
  failures: [
    new ValidationFailed({ message: wrongName }),
    "TooManySecrets",
    "EncryptionUnavailable",
    "ConstraintViolated",
  ],
})

export const remove = describe({
  ...inAccount,
  id: "deleteSecret",
  summary: "Delete a secret",
  description: "Tools that refer to it fail from their next call on.",
  path,
  answers: [{ status: 204, description: "The secret is deleted." }],
  failures: ["SecretNotFound"],
})
