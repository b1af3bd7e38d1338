import { SqlError } from "@effect/sql/SqlError"
import { Duration, Effect, FiberSet, Predicate, Redacted } from "effect"
import { Client, DatabaseError, Pool, type PoolClient } from "pg"

/** How long to wait for a new or a free connection. */
const connectTimeout = Duration.seconds(2)

/** How often the connections that wait for an answer are checked. */
const checkEvery = Duration.seconds(2)

/**
 * A connection without an answer for this many checks is suspect: the pool asks the server whether it works on it. After
 * 6 s, because the statement's timeout (10 s, postgres.ts) must leave time for a retry on another connection.
 */
const suspectAfter = 3

/** SQLSTATE read_only_sql_transaction. */
const readOnly = "25006"

interface PoolSettings {
  readonly url: Redacted.Redacted
  /** The most connections at a time. */
  readonly size: number
}

/**
 * A pool that closes dead connections. A server whose machine or network fails leaves connections on which the system
 * waits 15 minutes for an answer, and a server that was demoted to a standby leaves connections that can only read. pg's
 * own pool hands out both.
 *
 * Fails if no connection can be opened. Closes its connections with the scope.
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
          connectionTimeoutMillis: Duration.toMillis(connectTimeout),
          application_name: "voice-agent",
        }),
    ),
    (pool) => Effect.promise(() => pool.end()).pipe(Effect.interruptible, Effect.timeoutOption("1 second")),
  )
  // The failed connection has left the pool already; without a listener, the event would throw.
  pool.on("error", () => undefined)
  const runFork = yield* FiberSet.makeRuntime()
  closeDead(pool, { runFork, findDead: (clients) => findDead(connectionString, clients) })
  yield* Effect.tryPromise({
    try: () => pool.query("select 1"),
    catch: (cause) => new SqlError({ cause, message: "Failed to connect" }),
  }).pipe(
    Effect.timeoutFail({
      duration: connectTimeout,
      onTimeout: () => new SqlError({ cause: new Error("no answer"), message: "Failed to connect" }),
    }),
  )
  return pool
})

/** The connection waits for an answer. */
const isWaiting = (client: PoolClient) =>
  Predicate.hasProperty(client, "readyForQuery") && client.readyForQuery === false

/** Fails the connection's running statement, and frees its slot in the pool. */
const destroy = (client: Client | PoolClient) => client.connection.stream.destroy()

interface Tools {
  readonly findDead: (clients: ReadonlyArray<PoolClient>) => Effect.Effect<ReadonlyArray<PoolClient>>
  readonly runFork: (effect: Effect.Effect<unknown>) => unknown
}

/** Closes the connections that give no answer, and those that can only read. */
const closeDead = (pool: Pool, { findDead, runFork }: Tools) => {
  const idle = new Set<PoolClient>()
  /** The connections in use, each with the number of checks without an answer. */
  const inUse = new Map<PoolClient, number>()
  /** Connections whose statement failed. The error is the answer; only ReadyForQuery is still missing. */
  const failed = new WeakSet<PoolClient>()

  /** If one connection is dead, the idle ones probably are too. */
  const destroyWithIdle = (client: PoolClient) => {
    for (const each of [client, ...idle]) destroy(each)
  }
  const check = Effect.gen(function* () {
    const suspects = new Map<PoolClient, number>()
    for (const [client, before] of inUse) {
      if (!isWaiting(client)) continue
      const count = before + 1
      inUse.set(client, count)
      if (count % suspectAfter === 0) suspects.set(client, count)
    }
    if (suspects.size === 0) return
    for (const client of yield* findDead([...suspects.keys()])) {
      // An equal count: no answer has come meanwhile.
      if (inUse.get(client) === suspects.get(client)) destroyWithIdle(client)
    }
  })
  let isChecking = false
  const checkWhileInUse = Effect.sleep(checkEvery).pipe(
    Effect.zipRight(check),
    Effect.repeat({
      while: () => {
        isChecking = inUse.size > 0
        return isChecking
      },
    }),
  )

  pool.on("connect", (client) => {
    client.connection.on("readyForQuery", () => {
      failed.delete(client)
      if (inUse.has(client)) inUse.set(client, 0)
    })
    // Prepended: pg's own listener fails the statement at once, and its caller then releases the connection.
    client.connection.prependListener("errorMessage", ({ code, severity }: DatabaseError) => {
      if (code === readOnly) destroyWithIdle(client)
      // FATAL ends the connection. A server may translate "ERROR"; a failed statement then costs a connection.
      else if (severity === "ERROR") failed.add(client)
    })
  })
  pool.on("acquire", (client) => {
    idle.delete(client)
    inUse.set(client, 0)
    if (isChecking) return
    isChecking = true
    runFork(checkWhileInUse)
  })
  pool.on("release", (error, client) => {
    inUse.delete(client)
    // A connection in the middle of an answer is not reused. Ending it keeps the pool from taking it back.
    if (isWaiting(client) && !failed.has(client)) void client.end()
    else if (!error) idle.add(client)
  })
  pool.on("remove", (client) => {
    idle.delete(client)
    inUse.delete(client)
  })
}

interface Answer {
  readonly isPooler: boolean
  readonly activePids: ReadonlyArray<number>
}

/** `not like 'idle%'`: every state is `disabled` if an operator switched track_activities off. */
const activityQuery = `
  select pg_backend_pid() <> $1 as "isPooler",
    array(select pid from pg_stat_activity where pid = any($2) and state not like 'idle%') as "activePids"`

/** The pid of the connection's server process; -1, which is no process, if the server sent none. */
const processId = (client: Client | PoolClient): number =>
  Predicate.hasProperty(client, "processID") && typeof client.processID === "number" ? client.processID : -1

/**
 * The connections whose statement the server does not run. (A statement may run for minutes, such as a clean-up's
 * deletion or a migration.) Asks over a new connection, because only that shows whether the server can be reached.
 *
 * None if the server answers with an error such as `too many connections`: it is alive, and may run the statements. None
 * behind a pooler either: it reports pids of its own to its clients, and notices dead connections itself.
 */
const findDead = (connectionString: string, clients: ReadonlyArray<PoolClient>) =>
  Effect.promise(async (): Promise<ReadonlyArray<PoolClient>> => {
    const timeout = Duration.toMillis(connectTimeout)
    const prober = new Client({
      connectionString,
      connectionTimeoutMillis: timeout,
      query_timeout: timeout,
    })
    prober.on("error", () => undefined)
    try {
      await prober.connect()
      const { rows } = await prober.query<Answer>(activityQuery, [processId(prober), clients.map(processId)])
      const [answer] = rows
      if (answer === undefined || answer.isPooler) return []
      return clients.filter((client) => !answer.activePids.includes(processId(client)))
    } catch (error) {
      return error instanceof DatabaseError ? [] : clients
    } finally {
      destroy(prober)
    }
  })
