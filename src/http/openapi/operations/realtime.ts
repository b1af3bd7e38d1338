import { clientEventTypes } from "../../../realtime/protocol/client-events.ts"
import type { ServerEvent } from "../../../realtime/protocol/server-events.ts"
import { ValidationFailed } from "../../errors.ts"
import { ClientSecret } from "../../realtime-payloads.ts"
import { describe, json } from "../operation.ts"

/** All that the service sends: a record, so that one without a name here does not compile. */
const serverEvents: { readonly [type in ServerEvent["type"]]: true } = {
  "session.created": true,
  "session.updated": true,
  "conversation.item.added": true,
  "conversation.item.done": true,
  "conversation.item.retrieved": true,
  "conversation.item.truncated": true,
  "conversation.item.deleted": true,
  "conversation.item.input_audio_transcription.delta": true,
  "conversation.item.input_audio_transcription.completed": true,
  "conversation.item.input_audio_transcription.failed": true,
  "input_audio_buffer.committed": true,
  "input_audio_buffer.cleared": true,
  "input_audio_buffer.speech_started": true,
  "input_audio_buffer.speech_stopped": true,
  "input_audio_buffer.timeout_triggered": true,
  "rate_limits.updated": true,
  "response.created": true,
  "response.done": true,
  "response.output_item.added": true,
  "response.output_item.done": true,
  "response.content_part.added": true,
  "response.content_part.done": true,
  "response.output_text.delta": true,
  "response.output_text.done": true,
  "response.output_audio.delta": true,
  "response.output_audio.done": true,
  "response.output_audio_transcript.delta": true,
  "response.output_audio_transcript.done": true,
  "response.function_call_arguments.delta": true,
  "response.function_call_arguments.done": true,
  "response.mcp_call_arguments.done": true,
  "response.mcp_call.completed": true,
  "response.mcp_call.failed": true,
  error: true,
}

const listOf = (types: ReadonlyArray<string>) => types.map((type) => `\`${type}\``).join(", ")

const inRealtime = { tag: "Realtime", countedAs: "requests" } as const

export const connect = describe({
  ...inRealtime,
  id: "connectRealtime",
  summary: "Open a Realtime connection",
  description: `A WebSocket that speaks OpenAI's Realtime protocol. The same as \`GET /v1/realtime\`, which stock clients use. The key, or a
client secret, is in the Authorization header, or in the subprotocols \`realtime, openai-insecure-api-key.<key>\`. Errors before the
handshake are JSON.

Every message is one event as JSON text, with a \`type\`. [OpenAI's guide](https://developers.openai.com/api/docs/guides/realtime-conversations)
explains the events. \`docs/reference/realtime.md\` in the source of this service lists their fields and errors. The schema
\`RealtimeSession\` has the fields of \`session.update\`.

**A client sends** ${listOf(clientEventTypes)}.

**The service sends** ${listOf(Object.keys(serverEvents))}.`,
  answers: [{ status: 101, description: "The connection is open. The first event is `session.created`." }],
  failures: [
    new ValidationFailed({ message: "intent: must be conversation or transcription" }),
    "UpgradeRequired",
    "OriginNotAllowed",
    "SessionNotFound",
    "SessionExpired",
    "AgentNotFound",
    "AgentDeleted",
    "AgentOutdated",
    "MetadataMissing",
    "TooManyConnections",
    "Overloaded",
  ],
})

export const createSecret = describe({
  ...inRealtime,
  id: "createClientSecret",
  summary: "Create a client secret",
  description:
    "A short-lived secret that opens Realtime connections, for a browser that must not hold the API key. It ends with the key that created it. The same as `POST /v1/realtime/client_secrets`.",
  example: {
    expires_after: { anchor: "created_at", seconds: 600 },
    session: { type: "realtime", instructions: "Answer in one sentence." },
  },
  answers: [
    {
      status: 200,
      description:
        "The secret. The `id` of its `session` names the secret, not a session: each connection shows the id and `expires_at` of its own session in `session.created`.",
      headers: ["Cache-Control"],
      content: json(ClientSecret, {
        value: "ek_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        expires_at: 1769861400,
        session: {
          id: "secret_5b0b1f0e-51f0-4b6e-8a52-9f2c7a1d4e22",
          object: "realtime.session",
          type: "realtime",
          instructions: "Answer in one sentence.",
        },
      }),
    },
  ],
  failures: [
    new ValidationFailed({ message: "expires_after.seconds: must be a whole number from 10 to 7200" }),
    "AgentNotFound",
    "MetadataMissing",
    "TooManyClientSecrets",
    "ConstraintViolated",
  ],
})
