import { SqlError } from "@effect/sql/SqlError"
import { Duration, Effect, FiberSet, Predicate, Redacted } from "effect"
import { Client, Pool, type PoolClient } from "pg"

/** To be given a connection, made anew or free again. */
const connectPatience = Duration.seconds(2)

/** How often a look is taken at the connections that wait for an answer. */
const round = Duration.seconds(2)

/**
 * In rounds: the server is then asked whether it works on that answer. A statement has 10 s (`patience` in postgres.ts): it
 * still can be tried once more on another connection.
 */
const suspicious = 3

/** SQLSTATE read_only_sql_transaction. */
const readOnly = "25006"

interface PoolSettings {
  readonly url: Redacted.Redacted
  /** Connections at most. */
  readonly size: number
}

/**
 * A pool of connections that have a server at their other end which does its work. A server that vanishes without a word,
 * as one does whose machine or network fails, leaves connections on which the system waits a quarter of an hour for an
 * answer, and one that was demoted to a standby leaves some that can only read; the pool by itself would hand out both.
 *
 * Fails where no connection can be made; ends them with the scope.
 */
export const makePool = Effect.fnUntraced(function* ({ url, size }: PoolSettings) {
  const connectionString = Redacted.value(url)
  const pool = yield* Effect.acquireRelease(
    Effect.sync(
      () =>
        new Pool({
          connectionString,
          max: size,
          idleTimeoutMillis: Duration.toMillis("30 seconds"),
          connectionTimeoutMillis: Duration.toMillis(connectPatience),
          application_name: "voice-agent",
        }),
    ),
    (pool) => Effect.promise(() => pool.end()).pipe(Effect.interruptible, Effect.timeoutOption("1 second")),
  )
  // It is out of the pool already when this is told.
  pool.on("error", () => undefined)
  const runFork = yield* FiberSet.makeRuntime()
  retireDead(pool, { runFork, isAtWork: (client) => isAtWork(connectionString, client) })
  yield* Effect.tryPromise({
    try: () => pool.query("select 1"),
    catch: (cause) => new SqlError({ cause, message: "Failed to connect" }),
  }).pipe(
    Effect.timeoutFail({
      duration: connectPatience,
      onTimeout: () => new SqlError({ cause: new Error("no answer"), message: "Failed to connect" }),
    }),
  )
  return pool
})

/** Whether it waits for an answer. */
const isWaiting = (client: PoolClient) =>
  Predicate.hasProperty(client, "readyForQuery") && client.readyForQuery === false

/** Whoever waits for its answer is told that the connection is gone, and the pool makes room for another. */
const destroy = (client: PoolClient) => client.connection.stream.destroy()

interface Means {
  readonly isAtWork: (client: PoolClient) => Effect.Effect<boolean>
  readonly runFork: (effect: Effect.Effect<unknown>) => unknown
}

/** Lets no dead connection be handed out, as far as their answers tell. */
const retireDead = (pool: Pool, { isAtWork, runFork }: Means) => {
  const idle = new Set<PoolClient>()
  /** And for how many rounds without an answer. */
  const held = new Map<PoolClient, number>()

  /** Where one is dead, the others are hardly alive. */
  const destroyWithIdle = (client: PoolClient) => {
    for (const each of [client, ...idle]) destroy(each)
  }
  const look = Effect.fnUntraced(function* (client: PoolClient) {
    if (!isWaiting(client)) return
    const count = (held.get(client) ?? 0) + 1
    held.set(client, count)
    if (count % suspicious !== 0 || (yield* isAtWork(client))) return
    if (held.get(client) === count) destroyWithIdle(client)
  })
  let isLooking = false
  /** Until none is held any more. */
  const rounds = Effect.sleep(round).pipe(
    Effect.zipRight(
      Effect.suspend(() => Effect.forEach([...held.keys()], look, { concurrency: "unbounded" })),
    ),
    Effect.repeat({
      while: () => {
        isLooking = held.size > 0
        return isLooking
      },
    }),
  )

  pool.on("connect", (client) => {
    client.connection.on("readyForQuery", () => {
      if (held.has(client)) held.set(client, 0)
    })
    client.connection.on("errorMessage", ({ code }: { readonly code?: string }) => {
      if (code === readOnly) destroyWithIdle(client)
    })
  })
  pool.on("acquire", (client) => {
    idle.delete(client)
    held.set(client, 0)
    if (isLooking) return
    isLooking = true
    runFork(rounds)
  })
  pool.on("release", (error, client) => {
    held.delete(client)
    // What is in the middle of an answer is not given to anyone else: by this the pool does not take it back.
    if (isWaiting(client)) void client.end()
    else if (!error) idle.add(client)
  })
  pool.on("remove", (client) => {
    idle.delete(client)
    held.delete(client)
  })
}

/**
 * Whether the server works on what this connection asked for, as it may for minutes (the clean-up's deletions, a
 * migration). Asked by a connection of its own: no other says whether the server can still be reached.
 */
const isAtWork = (connectionString: string, client: PoolClient) =>
  Effect.promise(async () => {
    const patience = Duration.toMillis(connectPatience)
    const asking = new Client({
      connectionString,
      connectionTimeoutMillis: patience,
      query_timeout: patience,
    })
    asking.on("error", () => undefined)
    const pid = Predicate.hasProperty(client, "processID") ? client.processID : undefined
    try {
      await asking.connect()
      const isActive = "select 1 from pg_stat_activity where pid = $1 and state = 'active'"
      return (await asking.query(isActive, [pid])).rows.length > 0
    } catch {
      return false
    } finally {
      asking.connection.stream.destroy()
    }
  })
