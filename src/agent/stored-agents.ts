import * as SqlClient from "@effect/sql/SqlClient"
import { Array as Arr, Context, Effect, Layer, Option, Order, Schema } from "effect"
import { type Idempotency, IdempotencyKeyReused } from "../conversation/stored-turn.ts"
import type { DatabaseError } from "../db/errors.ts"
import { query, transaction } from "../db/postgres.ts"
import { findAll, findFirst, findOne } from "../db/rows.ts"
import { AgentId, JsonObject, newId, parseId, Time, type UserId } from "../schema.ts"
import { AgentChanged, type AgentInvalid, AgentNameTaken, AgentNotFound, TooManyAgents } from "./errors.ts"
import type { StoredDefinition } from "./read-definition.ts"

/** Agents per user, so that the list needs no pages. */
const maxStored = 100

/** Versions of an agent that are kept besides those in use. */
const keptVersions = 100

/** An agent with its newest definition, or an earlier version of it. */
const AgentRow = Schema.Struct({
  id: AgentId,
  version: Schema.Int,
  definition: JsonObject,
  createdAt: Time,
  updatedAt: Time,
})
export type AgentRow = typeof AgentRow.Type

const ListedAgent = Schema.Struct({
  id: AgentId,
  name: Schema.String,
  version: Schema.Int,
  createdAt: Time,
  updatedAt: Time,
})
type ListedAgent = typeof ListedAgent.Type

const VersionRow = Schema.Struct({ version: Schema.Int, definition: JsonObject, createdAt: Time })

const Earlier = Schema.Struct({ id: AgentId, contentHash: Schema.NullOr(Schema.String) })

const byName = Order.mapInput(Order.string, ({ name }: ListedAgent) => name.toLowerCase())

const isSame = (one: unknown, other: unknown) => JSON.stringify(one) === JSON.stringify(other)

/** The agents of users, and their versions. An `id` is the text that a client sent. */
export class StoredAgents extends Context.Tag("voice-agent/StoredAgents")<
  StoredAgents,
  {
    /** The same Idempotency-Key again is the same agent, as it is now. */
    readonly create: (
      userId: UserId,
      definition: StoredDefinition,
      idempotency: Option.Option<Idempotency>,
    ) => Effect.Effect<
      { readonly agent: AgentRow; readonly isReplayed: boolean },
      AgentNameTaken | TooManyAgents | IdempotencyKeyReused | DatabaseError
    >
    /** By name. */
    readonly list: (userId: UserId) => Effect.Effect<ReadonlyArray<ListedAgent>, DatabaseError>
    readonly get: (userId: UserId, id: string) => Effect.Effect<AgentRow, AgentNotFound | DatabaseError>
    /**
     * Adds a version with what `change` makes of the newest one. Without a difference there is none. Fails with AgentChanged
     * if `expected` is not the newest version.
     */
    readonly update: (
      userId: UserId,
      id: string,
      options: {
        readonly expected: Option.Option<number>
        readonly change: (
          definition: Readonly<Record<string, unknown>>,
        ) => Effect.Effect<StoredDefinition, AgentInvalid>
      },
    ) => Effect.Effect<AgentRow, AgentNotFound | AgentChanged | AgentNameTaken | AgentInvalid | DatabaseError>
    readonly remove: (userId: UserId, id: string) => Effect.Effect<void, AgentNotFound | DatabaseError>
    /** The newest `limit` versions before the version `before`, newest first. */
    readonly versions: (
      userId: UserId,
      id: string,
      page: { readonly limit: number; readonly before: Option.Option<number> },
    ) => Effect.Effect<ReadonlyArray<typeof VersionRow.Type>, AgentNotFound | DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    StoredAgents,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const orNotFound = Effect.mapError(() => new AgentNotFound())
      const parse = (id: string) => orNotFound(parseId(AgentId, id))
      const asJson = (definition: unknown) => sql`${JSON.stringify(definition)}::json`

      const found = (userId: UserId, id: AgentId) =>
        findFirst(
          AgentRow,
          sql`select id, version, created_at, updated_at, (
              select definition from agent_versions v where v.agent_id = a.id and v.version = a.version
            ) as definition
            from agents a where id = ${id} and user_id = ${userId}`,
        )

      const isNameTaken = (userId: UserId, name: string, id: AgentId) =>
        Effect.map(
          sql`select 1 from agents where user_id = ${userId} and lower(name) = lower(${name}) and id <> ${id}`,
          (rows) => rows.length > 0,
        )

      /** Agents of a user are created and renamed one after the other. False if the user was deleted. */
      const inOrder = (userId: UserId) => sql`select 1 from users where id = ${userId} for no key update`

      const Count = Schema.Struct({ count: Schema.Int })

      const create: StoredAgents["Type"]["create"] = Effect.fn("StoredAgents.create")(
        function* (userId, definition, idempotency) {
          const id = newId(AgentId)
          const { key, contentHash } = Option.getOrElse(idempotency, () => ({
            key: null,
            contentHash: null,
          }))
          const made = Effect.gen(function* () {
            yield* inOrder(userId)
            const earlier = yield* findFirst(
              Earlier,
              sql`select id, content_hash from agents
                where user_id = ${userId} and (idempotency_key = ${key} or id = ${id})`,
            )
            if (Option.isSome(earlier)) {
              if (earlier.value.contentHash !== contentHash) return yield* new IdempotencyKeyReused()
              return { id: earlier.value.id, isReplayed: earlier.value.id !== id }
            }
            const { count } = yield* findOne(
              Count,
              sql`select count(*)::int as count from agents where user_id = ${userId}`,
            )
            if (yield* isNameTaken(userId, definition.name, id)) return yield* new AgentNameTaken()
            if (count >= maxStored) return yield* new TooManyAgents({ max: maxStored })
            yield* sql`insert into agents ${sql.insert({ id, userId, name: definition.name, idempotencyKey: key, contentHash })}`
            yield* sql`insert into agent_versions (agent_id, version, definition) values (${id}, 1, ${asJson(definition)})`
            return { id, isReplayed: false }
          })
          const { id: ofAgent, isReplayed } = yield* transaction(sql, made, { isRepeatable: true })
          // It may have been deleted since, by another request.
          const agent = yield* query(found(userId, ofAgent))
          const now = new Date()
          return {
            agent: Option.getOrElse(agent, () => ({
              id: ofAgent,
              version: 1,
              definition,
              createdAt: now,
              updatedAt: now,
            })),
            isReplayed,
          }
        },
      )

      const list = Effect.fn("StoredAgents.list")((userId: UserId) =>
        Effect.map(
          query(
            findAll(
              ListedAgent,
              sql`select id, name, version, created_at, updated_at from agents where user_id = ${userId}`,
            ),
          ),
          Arr.sort(byName),
        ),
      )

      const get = Effect.fn("StoredAgents.get")(function* (userId: UserId, id: string) {
        return yield* orNotFound(yield* query(found(userId, yield* parse(id))))
      })

      const pruned = (id: AgentId, newest: number) =>
        sql`delete from agent_versions v where agent_id = ${id} and version <= ${newest - keptVersions}
          and not exists (select 1 from sessions s where s.agent_id = ${id} and s.agent_version = v.version)
          and not exists (select 1 from turns t where t.agent_id = ${id} and t.agent_version = v.version
            and t.state = 'running')`

      const update: StoredAgents["Type"]["update"] = Effect.fn("StoredAgents.update")(function* (
        userId,
        text,
        { expected, change },
      ) {
        const id = yield* parse(text)
        const changed = Effect.gen(function* () {
          yield* inOrder(userId)
          const row = yield* found(userId, id)
          if (Option.isNone(row)) return yield* new AgentNotFound()
          const { version, definition } = row.value
          if (Option.isSome(expected) && expected.value !== version)
            return yield* new AgentChanged({ version })
          const next = yield* change(definition)
          if (isSame(next, definition)) return row.value
          if (yield* isNameTaken(userId, next.name, id)) return yield* new AgentNameTaken()
          const newest = version + 1
          yield* sql`insert into agent_versions (agent_id, version, definition)
              values (${id}, ${newest}, ${asJson(next)})`
          yield* sql`update agents set name = ${next.name}, version = ${newest}, updated_at = now() where id = ${id}`
          yield* pruned(id, newest)
          return yield* Effect.flatMap(found(userId, id), Effect.orDie)
        })
        return yield* transaction(sql, changed)
      })

      const remove = Effect.fn("StoredAgents.remove")(function* (userId: UserId, text: string) {
        const id = yield* parse(text)
        const removed = yield* transaction(
          sql,
          sql`delete from agents where id = ${id} and user_id = ${userId} returning 1`,
        )
        if (removed.length === 0) return yield* new AgentNotFound()
      })

      const versions: StoredAgents["Type"]["versions"] = Effect.fn("StoredAgents.versions")(function* (
        userId,
        text,
        { limit, before },
      ) {
        const { id } = yield* get(userId, text)
        const earlier = Option.match(before, {
          onNone: () => sql`true`,
          onSome: (version) => sql`version < ${version}`,
        })
        return yield* query(
          findAll(
            VersionRow,
            sql`select version, definition, created_at from agent_versions
                where agent_id = ${id} and ${earlier} order by version desc limit ${limit}`,
          ),
        )
      })

      return { create, list, get, update, remove, versions }
    }),
  )
}
