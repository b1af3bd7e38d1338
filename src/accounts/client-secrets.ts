import * as SqlClient from "@effect/sql/SqlClient"
import { Context, Effect, Layer, Option, Redacted, Schema } from "effect"
import type { DatabaseError } from "../db/errors.ts"
import { query, transaction } from "../db/postgres.ts"
import { findAll, findFirst } from "../db/rows.ts"
import { AgentId, type UserId } from "../schema.ts"
import { hashApiKey, secretPrefix } from "./api-key.ts"
import { InvalidApiKey, TooManyClientSecrets } from "./errors.ts"
import { ClientSecret, SignedIn } from "./model.ts"

/** Valid secrets per user. One page needs one, for 10 minutes by default. */
const maxValid = 1000

/** A secret in the one response that contains it. */
type NewClientSecret = ClientSecret & { readonly value: Redacted.Redacted }

/** A secret with its position among all secrets. */
const SecretRow = Schema.Struct({ ...ClientSecret.fields, sequence: Schema.String })

const SecretOwner = Schema.Struct({
  ...SignedIn.fields,
  session: Schema.Unknown,
  agentId: Schema.NullOr(AgentId),
  isRevoked: Schema.Boolean,
  isExpired: Schema.Boolean,
  isKeyExpired: Schema.Boolean,
})

/** Short-lived credentials for Realtime connections, each bound to a user, a key and a session configuration. */
export class ClientSecrets extends Context.Tag("voice-agent/ClientSecrets")<
  ClientSecrets,
  {
    /** Creates a secret that expires after `seconds`, or with the key of the request. */
    readonly create: (
      user: SignedIn,
      options: {
        readonly seconds: number
        readonly session: unknown
        /** The agent of new sessions. */
        readonly agentId: Option.Option<AgentId>
      },
    ) => Effect.Effect<NewClientSecret, TooManyClientSecrets | DatabaseError>
    /** The owner of a secret, and the configuration that it is bound to. A secret may be used until it expires. */
    readonly authenticate: (
      secret: Redacted.Redacted,
    ) => Effect.Effect<
      SignedIn & { readonly session: unknown; readonly agentId: Option.Option<AgentId> },
      InvalidApiKey | DatabaseError
    >
    /**
     * The user's next `limit` valid secrets after the one at the position `after`, oldest first, without the secrets
     * themselves.
     */
    readonly page: (
      userId: UserId,
      after: string,
      limit: number,
    ) => Effect.Effect<ReadonlyArray<typeof SecretRow.Type>, DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    ClientSecrets,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const columns = sql`id, created_at, expires_at, session, agent_id`

      const create = Effect.fn("ClientSecrets.create")(function* (
        { id: userId, keyId }: SignedIn,
        { seconds, session, agentId }: Parameters<ClientSecrets["Type"]["create"]>[1],
      ) {
        const value = Redacted.make(
          `${secretPrefix}${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex")}`,
        )
        const created = yield* transaction(
          sql,
          findFirst(
            ClientSecret,
            sql`insert into client_secrets (user_id, key_id, secret_hash, session, agent_id, expires_at)
              select ${userId}, ${keyId}, ${hashApiKey(value)}, ${JSON.stringify(session)}::json,
                ${Option.getOrNull(agentId)}::uuid,
                now() + make_interval(secs => ${seconds})
              where (select count(*) from client_secrets
                where user_id = ${userId} and expires_at > now()) < ${maxValid}
              returning ${columns}`,
          ),
        )
        if (Option.isNone(created)) return yield* new TooManyClientSecrets({ max: maxValid })
        return { ...created.value, value }
      })

      const authenticate = Effect.fn("ClientSecrets.authenticate")(function* (secret: Redacted.Redacted) {
        const found = yield* query(
          findFirst(
            SecretOwner,
            sql`select u.id, u.email, u.created_at, k.id as key_id, s.session, s.agent_id,
                coalesce(k.revoked_at <= now(), false) as is_revoked,
                coalesce(k.expires_at <= now(), false) as is_key_expired,
                s.expires_at <= now() as is_expired
              from client_secrets s join api_keys k on k.id = s.key_id join users u on u.id = s.user_id
              where s.secret_hash = ${hashApiKey(secret)}`,
          ),
        )
        // The clean-up removes expired secrets, so an expired one and an unknown one are the same.
        if (Option.isNone(found)) return yield* new InvalidApiKey({ reason: "secret" })
        const { isRevoked, isExpired, isKeyExpired, agentId, ...owner } = found.value
        if (isRevoked) return yield* new InvalidApiKey({ reason: "revoked" })
        if (isExpired || isKeyExpired) return yield* new InvalidApiKey({ reason: "secret" })
        return { ...owner, agentId: Option.fromNullable(agentId) }
      })

      const page = Effect.fn("ClientSecrets.page")((userId: UserId, after: string, limit: number) =>
        query(
          findAll(
            SecretRow,
            sql`select ${columns}, sequence from client_secrets
              where user_id = ${userId} and sequence > ${after} and expires_at > now()
              order by sequence limit ${limit}`,
          ),
        ),
      )

      return { create, authenticate, page }
    }),
  )
}
