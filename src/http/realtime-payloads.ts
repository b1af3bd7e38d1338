import { Schema } from "effect"
import { RealtimeSession } from "./realtime-session.ts"
import { strictBody } from "./strict-body.ts"

/** The query of a handshake. Unknown models are accepted: stock clients name the model that they are configured with. */
export const ConnectQuery = Schema.Struct({
  model: Schema.optional(
    Schema.String.annotations({
      description: "Ignored: the server's own models answer, and `session.created` shows them.",
    }),
  ),
  session_id: Schema.optionalWith(
    Schema.String.annotations({
      description: "The session to continue, with its history. A new one by default.",
    }),
    { as: "Option" },
  ),
  agent: Schema.optionalWith(
    Schema.String.annotations({
      description:
        "The agent of a new session: the id of one of yours, or `default`. A continued session keeps its own.",
    }),
    { as: "Option" },
  ),
  intent: Schema.optionalWith(
    Schema.Literal("conversation", "transcription").annotations({
      message: () => ({ message: "must be conversation or transcription", override: true }),
      description: "`transcription`: speech is transcribed, and nothing replies.",
    }),
    { as: "Option" },
  ),
})

/** As in OpenAI's API, like the bounds. */
export const defaultSecretSeconds = 600

const seconds = Schema.Int.pipe(Schema.between(10, 7200)).annotations({
  message: () => ({ message: "must be a whole number from 10 to 7200", override: true }),
  jsonSchema: { type: "integer", minimum: 10, maximum: 7200, default: defaultSecretSeconds },
  description: "How long connections can be opened with the secret. Open ones last longer.",
})

/** The body of a request for a client secret, in OpenAI's form. */
export const ClientSecretRequest = Schema.Struct({
  expires_after: Schema.optional(
    Schema.Struct({
      anchor: Schema.optional(
        Schema.Literal("created_at").annotations({
          message: () => ({ message: "must be created_at", override: true }),
        }),
      ),
      seconds: Schema.optional(seconds),
    }).annotations({ message: () => "must be an object" }),
  ),
  agent: Schema.optional(
    Schema.String.annotations({
      message: () => ({ message: "must be the id of an agent, or default", override: true }),
      description:
        "The agent of new sessions: the id of one of yours, or `default`. Connections with the secret cannot choose another.",
    }),
  ),
  /** As it came: a decoded copy would lose a field `__proto__`, which is refused. */
  session: Schema.optional(RealtimeSession),
}).annotations({ message: () => "must be an object" })

export const clientSecretRequest = strictBody(ClientSecretRequest)

/** A client secret, in OpenAI's form. */
export const ClientSecret = Schema.Struct({
  value: Schema.String.annotations({ description: "The secret. The service shows it only once." }),
  expires_at: Schema.Int.annotations({ description: "When it expires, in Unix seconds." }),
  /** Also its `id` and `object`. */
  session: RealtimeSession,
})
