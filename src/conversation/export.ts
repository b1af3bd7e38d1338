import * as SqlClient from "@effect/sql/SqlClient"
import { Context, Effect, Layer, Schema, Stream } from "effect"
import { ClientSecrets } from "../accounts/client-secrets.ts"
import { Keys } from "../accounts/keys.ts"
import { Memories, Memory } from "../accounts/memories.ts"
import { ApiKey, ClientSecret, Secret, type User } from "../accounts/model.ts"
import { Secrets } from "../accounts/secrets.ts"
import type { DatabaseError } from "../db/errors.ts"
import { query } from "../db/postgres.ts"
import { findAll, findOne } from "../db/rows.ts"
import { AgentId, type SessionId, type UserId } from "../schema.ts"
import { DeliveryLog } from "../webhooks/delivery-log.ts"
import { Webhook } from "../webhooks/model.ts"
import { Webhooks } from "../webhooks/webhooks.ts"
import {
  ExportedAgent,
  ExportedDelivery,
  ExportedItem,
  ExportedSession,
  ExportedTurn,
  ExportedUsage,
  MonthlyLimit,
} from "./exported.ts"
import { bySequence, jsonOf, listOf, Position, pageSize, pagesOf } from "./json-list.ts"
import { takeoverKeys } from "./ledger-takeovers.ts"
import { Message } from "./model.ts"
import { agentShown } from "./sessions.ts"

/** Client secrets in memory at a time: their sessions have 128 KB at most. */
const secretsPageSize = 10
/** Definitions of agents have 64 KB at most. */
const definitionsPageSize = 20

const AgentKey = Schema.Struct({ id: AgentId })
const LimitRow = Schema.Struct({ monthlyLimit: MonthlyLimit })

const keyJson = jsonOf(ApiKey)
const memoryJson = jsonOf(Memory)
const secretJson = jsonOf(Secret)
const clientSecretJson = jsonOf(ClientSecret)
const agentJson = jsonOf(ExportedAgent)
const webhookJson = jsonOf(Webhook)
const deliveryJson = jsonOf(ExportedDelivery)
const sessionJson = jsonOf(ExportedSession)
const messageJson = jsonOf(Message)
const itemJson = jsonOf(ExportedItem)
const turnJson = jsonOf(ExportedTurn)
const usageJson = jsonOf(ExportedUsage)

const SessionRow = Schema.Struct({
  ...ExportedSession.fields,
  /** `createdAt` in microseconds; a Date has milliseconds only. */
  position: Schema.String,
})
const MessageRow = Schema.Struct({ ...Message.fields, ...Position.fields })
const ItemRow = Schema.Struct({ ...ExportedItem.fields, ...Position.fields })
const TurnRow = Schema.Struct({ ...ExportedTurn.fields, ...Position.fields })
const UsageRow = Schema.Struct({ ...ExportedUsage.fields, ...Position.fields })

/** Sorts before every other id. */
const firstId = "00000000-0000-0000-0000-000000000000"

/** Everything stored of a user, as one JSON document, streamed page by page. */
export class AccountExport extends Context.Tag("voice-agent/AccountExport")<
  AccountExport,
  {
    /**
     * `{exportedAt, user, keys, memories, secrets, webhooks, clientSecrets, webhookDeliveries, agents,
     * sessions: [{…, messages, items}], turns, usage}` in UTF-8. Holds no database connection between two
     * pages, however slowly the client reads. Turns that are taken meanwhile may be missing.
     */
    readonly of: (user: User) => Effect.Effect<Stream.Stream<Uint8Array, DatabaseError>, DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    AccountExport,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const keys = yield* Keys
      const clientSecretsOf = yield* ClientSecrets
      const memories = yield* Memories
      const secrets = yield* Secrets
      const webhooks = yield* Webhooks
      const deliveries = yield* DeliveryLog

      const messages = (sessionId: SessionId, open: string) =>
        listOf({
          open,
          pages: pagesOf({
            ...bySequence,
            page: (after) =>
              query(
                findAll(
                  MessageRow,
                  sql`select sequence, id, turn_id, payload ->> 'role' as role, payload ->> 'text' as content,
                    interrupted, created_at
                  from items where session_id = ${sessionId} and sequence > ${after} and type = 'message'
                  order by sequence limit ${pageSize}`,
                ),
              ),
          }),
          json: messageJson,
          close: "]",
        })

      const otherItems = (sessionId: SessionId) =>
        listOf({
          open: `,"items":[`,
          pages: pagesOf({
            ...bySequence,
            page: (after) =>
              query(
                findAll(
                  ItemRow,
                  // A summary has the sequence of the item before it: both are on one page.
                  sql`select sequence, id, turn_id, payload || jsonb_build_object('type', type) as payload, created_at
                  from items where session_id = ${sessionId} and sequence > ${after} and type <> 'message'
                  order by sequence fetch first ${pageSize} rows with ties`,
                ),
              ),
          }),
          json: itemJson,
          close: "]}",
        })

      const clientSecrets = (userId: UserId) =>
        listOf({
          open: `,"clientSecrets":[`,
          pages: pagesOf({
            ...bySequence,
            size: secretsPageSize,
            page: (after) => clientSecretsOf.page(userId, after, secretsPageSize),
          }),
          json: clientSecretJson,
          close: "]",
        })

      const webhookDeliveries = (endpoints: ReadonlyArray<Webhook>) =>
        listOf({
          open: `,"webhookDeliveries":[`,
          pages: Stream.flatMap(Stream.fromIterable(endpoints), ({ id }) =>
            pagesOf({ ...bySequence, page: (after) => deliveries.page(id, after, pageSize) }),
          ),
          json: deliveryJson,
          close: "]",
        })

      const roundsOfTurn = sql`coalesce((
        select jsonb_agg(jsonb_build_object('transcript', transcript, 'results', brought, 'text', text, 'calls', coalesce((
            select jsonb_agg(jsonb_build_object('name', name, 'arguments', arguments, 'output', output) order by place)
            from tool_calls where tool_calls.turn_id = turns.id and tool_calls.round = turn_rounds.round
          ), '[]')) order by round)
        from turn_rounds where turn_id = turns.id
      ), '[]')`
      const versionsOf = (id: AgentId) =>
        pagesOf({
          first: 0,
          at: ({ version }: typeof ExportedAgent.Type) => version,
          size: definitionsPageSize,
          page: (after) =>
            query(
              findAll(
                ExportedAgent,
                sql`select agent_id as id, version, definition, created_at from agent_versions
                  where agent_id = ${id} and version > ${after} order by version limit ${definitionsPageSize}`,
              ),
            ),
        })

      const agents = (userId: UserId) =>
        listOf({
          open: `,"agents":[`,
          pages: Stream.fromIterableEffect(
            query(findAll(AgentKey, sql`select id from agents where user_id = ${userId}`)),
          ).pipe(Stream.flatMap(({ id }) => versionsOf(id))),
          json: agentJson,
          close: "]",
        })

      const turns = (userId: UserId) =>
        listOf({
          open: `,"turns":[`,
          pages: pagesOf({
            ...bySequence,
            page: (after) =>
              query(
                findAll(
                  TurnRow,
                  sql`select sequence, id, session_id, state, agent_id, agent_version, transcript, response, timings, usage,
                    models, cost_nanos / 1e9::float8 as cost, currency, key_id, created_at, ended_at,
                    ${roundsOfTurn} as rounds
                  from turns where user_id = ${userId} and sequence > ${after}
                    and coalesce(idempotency_key, '') not like ${takeoverKeys}
                  order by sequence limit ${pageSize}`,
                ),
              ),
          }),
          json: turnJson,
          close: "]",
        })

      /** A page has whole days: rows of a day have no order of their own. */
      const usage = (userId: UserId) =>
        listOf({
          open: `,"usage":[`,
          pages: pagesOf({
            ...bySequence,
            first: "-infinity",
            page: (after) =>
              query(
                findAll(
                  UsageRow,
                  sql`select day::text as sequence, day::text as day, agent_id, key_id, currency,
                    turns::float8 as turns, unpriced::float8 as unpriced, audio_seconds,
                    input_tokens::float8 as input_tokens, output_tokens::float8 as output_tokens,
                    characters_spoken::float8 as characters_spoken, cost_nanos / 1e9::float8 as cost
                  from usage_days where user_id = ${userId} and day > ${after}::date
                  order by user_id, usage_days.day fetch first ${pageSize} rows with ties`,
                ),
              ),
          }),
          json: usageJson,
          close: "]}",
        })

      /** Ordered by creation: the order by last activity may change between two pages. */
      const sessions = (userId: UserId) =>
        pagesOf({
          first: { position: "-infinity", id: firstId },
          at: (row: typeof SessionRow.Type): { readonly position: string; readonly id: string } => row,
          page: (after) =>
            query(
              findAll(
                SessionRow,
                sql`select created_at::text as position, id, title, metadata, created_at, last_activity_at,
                    ${agentShown(sql)}
                  from sessions where user_id = ${userId}
                    and (created_at, id) > (${after.position}::timestamptz, ${after.id}::uuid)
                  order by created_at, id limit ${pageSize}`,
              ),
            ),
        }).pipe(
          Stream.flattenIterables,
          Stream.zipWithIndex,
          Stream.flatMap(([session, index]) =>
            Stream.concat(
              messages(
                session.id,
                `${index === 0 ? "" : ","}${sessionJson(session).slice(0, -1)},"messages":[`,
              ),
              otherItems(session.id),
            ),
          ),
          (list) => Stream.concat(Stream.make(`,"sessions":[`), Stream.concat(list, Stream.make("]"))),
        )

      const of = Effect.fn("AccountExport.of")(function* (user: User) {
        // The first query runs before the response begins, so that an unavailable database gives a 503.
        const own = yield* keys.list(user.id)
        const remembered = yield* memories.list(user.id)
        const stored = yield* secrets.list(user.id)
        const endpoints = yield* webhooks.list(user.id)
        const { monthlyLimit } = yield* query(
          findOne(
            LimitRow,
            sql`select case when amount = 'infinity' then '"none"' else coalesce(to_jsonb(amount), '"default"') end
                as monthly_limit
              from (select 1) as one left join monthly_limits on user_id = ${user.id}`,
          ),
        )
        const head = {
          exportedAt: new Date(),
          user: { userId: user.id, email: user.email, createdAt: user.createdAt, monthlyLimit },
        }
        const start = [
          JSON.stringify(head).slice(0, -1),
          `"keys":[${own.map(keyJson).join(",")}]`,
          `"memories":[${remembered.map(memoryJson).join(",")}]`,
          `"secrets":[${stored.map(secretJson).join(",")}]`,
          `"webhooks":[${endpoints.map(webhookJson).join(",")}]`,
        ].join(",")
        return Stream.make(start).pipe(
          Stream.concat(clientSecrets(user.id)),
          Stream.concat(webhookDeliveries(endpoints)),
          Stream.concat(agents(user.id)),
          Stream.concat(sessions(user.id)),
          Stream.concat(turns(user.id)),
          Stream.concat(usage(user.id)),
          Stream.encodeText,
        )
      })

      return { of }
    }),
  )
}
