import { AgentInvalid } from "../../../agent/errors.ts"
import { ValidationFailed } from "../../errors.ts"
import { AgentList, AgentVersions, OneAgent } from "../../payloads.ts"
import { idempotencyKey } from "../headers.ts"
import { describe, json } from "../operation.ts"

export const wrongVersion =
  "If-Match: must be a version of the agent, such as 3, or send it as the field version"

const definition = {
  name: "Concierge",
  instructions:
    "You are the concierge of a hotel. The guest's name is {{guest | not known}}. Answer in one or two sentences.",
  greeting: "Good morning. How can I help you?",
  languages: ["en"],
  llm: { temperature: 0.3 },
  tools: [
    {
      type: "http",
      name: "room_service",
      description: "Orders something to the guest's room.",
      parameters: { type: "object", properties: { item: { type: "string" } }, required: ["item"] },
      method: "POST",
      url: "https://hotel.example.com/orders",
      headers: { authorization: "Bearer {{secret:HOTEL_KEY}}" },
    },
  ],
  keyTerms: ["Belvédère"],
} as const
const listed = {
  id: "5d0f7c1e-6f0f-4c36-9d5e-0a3b1f6a7c22",
  version: 3,
  name: definition.name,
  createdAt: "2026-01-31T12:00:00.000Z",
  updatedAt: "2026-02-01T08:30:00.000Z",
}
const agent = { ...definition, ...listed }
const warnings = [
  {
    field: "tools.0",
    message: "The tool needs the secret HOTEL_KEY. Set it with PUT /users/me/secrets/HOTEL_KEY.",
  },
]
const configured = {
  id: "default",
  version: null,
  name: "Default",
  createdAt: null,
  updatedAt: null,
} as const
const path = {
  id: {
    description: "The agent's id, or `default` for that of the operator.",
    schema: {
      anyOf: [
        { type: "string", format: "uuid" },
        { type: "string", enum: ["default"] },
      ],
    },
  },
}
const inAgents = { tag: "Agents", countedAs: "requests" } as const
const invalid = new AgentInvalid({ field: "llm.model", reason: "must be gpt-4o-mini" })
const etag = "The header `ETag` has its version."

export const create = describe({
  ...inAgents,
  id: "createAgent",
  summary: "Create an agent",
  description:
    "What the definition leaves out is as the operator has it. With an `Idempotency-Key`, a repeated request returns the agent of the first one.",
  headers: [
    {
      ...idempotencyKey,
      description: "A repeated request with the same key returns the agent of the first.",
    },
  ],
  example: definition,
  answers: [{ status: 201, description: `The agent. ${etag}`, content: json(OneAgent, { agent, warnings }) }],
  failures: [invalid, "AgentNameTaken", "TooManyAgents", "IdempotencyKeyReused", "ConstraintViolated"],
})

export const list = describe({
  ...inAgents,
  id: "listAgents",
  summary: "List agents",
  description: "Your agents by name, after that of the operator.",
  answers: [
    { status: 200, description: "The agents.", content: json(AgentList, { agents: [configured, listed] }) },
  ],
})

export const get = describe({
  ...inAgents,
  id: "getAgent",
  summary: "Get an agent",
  description: "Its newest version.",
  path,
  answers: [{ status: 200, description: `The agent. ${etag}`, content: json(OneAgent, { agent }) }],
  failures: ["AgentNotFound"],
})

export const update = describe({
  ...inAgents,
  id: "updateAgent",
  summary: "Change an agent",
  description:
    "Adds a version. Fields that are not in the body stay as they are, a field in it replaces the earlier one as a whole, and null removes it. Without a difference there is no new version.",
  path,
  headers: [
    {
      name: "If-Match",
      description:
        "The version that the change is meant for. If another one is the newest by now, nothing changes. The field `version` does the same.",
      schema: { type: "string" },
    },
  ],
  example: { version: 3, greeting: "Welcome. How can I help you?" },
  answers: [{ status: 200, description: `The agent. ${etag}`, content: json(OneAgent, { agent }) }],
  failures: [
    invalid,
    "AgentNotFound",
    "AgentChanged",
    "AgentReadOnly",
    "AgentNameTaken",
    "ConstraintViolated",
  ],
})

export const remove = describe({
  ...inAgents,
  id: "deleteAgent",
  summary: "Delete an agent",
  description:
    "Deletes the agent with its versions for good. Its sessions stay readable, and take turns again once they have another agent.",
  path,
  answers: [{ status: 204, description: "The agent is deleted." }],
  failures: ["AgentNotFound", "AgentReadOnly"],
})

export const versions = describe({
  ...inAgents,
  id: "listAgentVersions",
  summary: "List the versions of an agent",
  description: "Newest first. The last hundred are kept, and those in use.",
  path,
  answers: [
    {
      status: 200,
      description: "A page of versions.",
      content: json(AgentVersions, {
        versions: [{ ...definition, version: listed.version, createdAt: listed.updatedAt }],
      }),
    },
  ],
  failures: [
    new ValidationFailed({ message: "limit: must be a whole number from 1 to 100" }),
    "AgentNotFound",
  ],
})
