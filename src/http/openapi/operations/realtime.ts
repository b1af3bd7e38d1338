import { ValidationFailed } from "../../errors.ts"
import { ClientSecret } from "../../realtime-payloads.ts"
import { describe, json } from "../operation.ts"

const inRealtime = { tag: "Realtime", countedAs: "requests" } as const

export const connect = describe({
  ...inRealtime,
  id: "connectRealtime",
  summary: "Open a Realtime connection",
  description:
    "A WebSocket that speaks OpenAI's Realtime protocol. The same as `GET /v1/realtime`, which stock clients use. The key, or a client secret, is in the Authorization header, or in the subprotocols `realtime, openai-insecure-api-key.<key>`. Errors before the handshake are JSON.",
  answers: [{ status: 101, description: "The connection is open. The first event is `session.created`." }],
  failures: [
    new ValidationFailed({ message: "intent: must be conversation or transcription" }),
    "UpgradeRequired",
    "OriginNotAllowed",
    "SessionNotFound",
    "SessionExpired",
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
      description: "The secret.",
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
    "TooManyClientSecrets",
    "ConstraintViolated",
  ],
})
