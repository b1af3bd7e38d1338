import { UnknownPosition } from "../../../schema.ts"
import { ValidationFailed } from "../../errors.ts"
import { MessagePage, OneSession, OpenToolCalls, SessionCreated, SessionPage } from "../../payloads.ts"
import { describe, json } from "../operation.ts"

const session = {
  id: "8c7d6d39-5a54-4b0d-8f3c-6a1f2e9b7c33",
  userId: "0b6ad0f4-8a5c-4a4e-8f3b-7d5a1b7d0e11",
  title: "Holiday",
  metadata: { device: "kitchen" },
  agentId: "default",
  agentVersion: null,
  createdAt: "2026-01-31T12:00:00.000Z",
  lastActivityAt: "2026-01-31T12:05:00.000Z",
  expired: false,
}
const message = {
  id: "c2b1a098-7f6e-4d5c-8b4a-39281706f544",
  turnId: "d3c2b1a0-8e7f-4c6d-9a5b-4a3928170655",
  role: "user",
  content: "My name is Ada.",
  interrupted: false,
  createdAt: "2026-01-31T12:04:00.000Z",
} as const
const path = { id: "The session's id." }
const inSessions = { tag: "Sessions", countedAs: "requests" } as const
const details = { title: session.title, metadata: session.metadata }
const wrongTitle = new ValidationFailed({ message: "title: must have at most 200 characters" })
const wrongLimit = (most: number) =>
  new ValidationFailed({ message: `limit: must be a whole number from 1 to ${most}` })

export const create = describe({
  ...inSessions,
  id: "createSession",
  summary: "Create a session",
  description: "Optional: a recording without a session opens a new one. The body can be empty.",
  example: details,
  answers: [
    {
      status: 201,
      description: "The session.",
      content: json(SessionCreated, { sessionId: session.id, createdAt: session.createdAt }),
    },
  ],
  failures: [wrongTitle, "AgentNotFound", "ConstraintViolated"],
})

export const list = describe({
  ...inSessions,
  id: "listSessions",
  summary: "List sessions",
  description: "Most recent activity first.",
  answers: [
    {
      status: 200,
      description: "A page of sessions.",
      content: json(SessionPage, { sessions: [session], nextCursor: null }),
    },
  ],
  failures: [wrongLimit(100), "UnknownPosition"],
})

export const get = describe({
  ...inSessions,
  id: "getSession",
  summary: "Get a session",
  path,
  answers: [{ status: 200, description: "The session.", content: json(OneSession, { session }) }],
  failures: ["SessionNotFound"],
})

export const update = describe({
  ...inSessions,
  id: "updateSession",
  summary: "Update a session",
  description:
    "Fields that are not in the body stay as they are. `metadata` is replaced as a whole. A null title removes the title.",
  path,
  example: details,
  answers: [{ status: 200, description: "The session.", content: json(OneSession, { session }) }],
  failures: [wrongTitle, "SessionNotFound", "AgentNotFound", "ConstraintViolated"],
})

export const remove = describe({
  ...inSessions,
  id: "deleteSession",
  description: "Deletes the session and its messages for good.",
  summary: "Delete a session",
  path,
  answers: [{ status: 204, description: "The session is deleted." }],
  failures: ["SessionNotFound", "ConstraintViolated"],
})

export const messages = describe({
  ...inSessions,
  id: "listMessages",
  description: "The newest messages of a session, in the order of the conversation. `before` pages back.",
  summary: "List messages",
  path,
  answers: [
    { status: 200, description: "The messages.", content: json(MessagePage, { messages: [message] }) },
  ],
  failures: [wrongLimit(200), new UnknownPosition({ field: "before", is: "message id" }), "SessionNotFound"],
})

export const toolCalls = describe({
  ...inSessions,
  id: "listOpenToolCalls",
  summary: "List open tool calls",
  description:
    "The calls of the newest turn that wait for results of the client, such as one that lost the turn's answer. Calls that a later turn has passed over are closed.",
  path,
  answers: [
    {
      status: 200,
      description: "The open calls.",
      content: json(OpenToolCalls, {
        turnId: "d3c2b1a0-8e7f-4c6d-9a5b-4a3928170655",
        toolCalls: [{ callId: "call_1", name: "open_door", arguments: '{"door":"front"}' }],
      }),
    },
  ],
  failures: ["SessionNotFound"],
})
