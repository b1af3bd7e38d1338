import { SqlError } from "@effect/sql/SqlError"
import { Array as Arr, Duration, Effect, Either, FiberSet, Order, Predicate } from "effect"
import { type Client, type ClientConfig, DatabaseError, Pool, type PoolClient, type PoolConfig } from "pg"
import { isDatabaseAway, notPostgres, sqlState } from "./errors.ts"
import { ServiceClient, type Target } from "./target.ts"

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
  readonly target: Target
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
export const makePool = Effect.fnUntraced(function* ({ target, size }: PoolSettings) {
  const config: PoolConfig = { ...target.config, ssl: yield* firstWay(target), Client: ServiceClient }
  const pool = yield* Effect.acquireRelease(
    Effect.sync(() => new Pool({ ...config, max: size, idleTimeoutMillis: Duration.toMillis("30 seconds") })),
    (pool) => Effect.promise(() => pool.end()).pipe(Effect.interruptible, Effect.timeoutOption("1 second")),
  )
  // The failed connection has left the pool already; without a listener, the event would throw.
  pool.on("error", () => undefined)
  const runFork = yield* FiberSet.makeRuntime()
  closeDead(pool, { runFork, findDead: (clients) => findDead(config, clients) })
  return pool
})

/**
 * The first way to connect that works. The pool keeps to it: a connection that was encrypted is never replaced by one that
 * is not. Fails with the failure that says most.
 */
const firstWay = Effect.fnUntraced(function* ({ config, ways }: Target) {
  const failures: Array<SqlError> = []
  for (const ssl of ways) {
    const tried = yield* Effect.either(tryToConnect({ ...config, ssl }))
    if (Either.isRight(tried)) return ssl
    if (isDatabaseAway(tried.left)) return yield* tried.left
    failures.push(tried.left)
  }
  const [most = noWay] = Arr.sort(failures, byMeaning)
  return yield* most
})

const noWay = new SqlError({ cause: new Error("there is no way to connect"), message: "Failed to connect" })

/** A server without TLS, or one that takes no such connection, says less than a bad certificate or a wrong password. */
const meaning = (error: SqlError) => {
  const state = sqlState(error)
  if (state !== undefined) return state === "28000" ? 1 : 3
  return Predicate.hasProperty(error.cause, "code") ? 2 : 0
}
const byMeaning = Order.reverse(Order.mapInput(Order.number, meaning))

/**
 * How a PostgreSQL server begins: S or N to the question for TLS, else the type of its first message: authentication, error
 * or negotiation of the version. pg waits for the rest of a web server's answer, as of a long message. 0x16 is TLS itself.
 */
const firstBytes = new Set([...Buffer.from("SNREv"), 0x16])

const tryToConnect = (config: ClientConfig) =>
  Effect.tryPromise({
    try: async () => {
      const client = new ServiceClient(config)
      client.on("error", () => undefined)
      const isOther = Promise.withResolvers<never>()
      client.connection.stream.once("data", ([first = 0]: Uint8Array) => {
        if (!firstBytes.has(first)) isOther.reject(new Error(notPostgres))
      })
      try {
        await Promise.race([isOther.promise, client.connect().then(() => client.query("select 1"))])
      } finally {
        void client.end().catch(() => undefined)
      }
    },
    catch: (cause) => new SqlError({ cause, message: "Failed to connect" }),
  }).pipe(
    Effect.timeoutFail({
      duration: Duration.millis(config.connectionTimeoutMillis ?? 0),
      onTimeout: () => new SqlError({ cause: new Error("no answer"), message: "Failed to connect" }),
    }),
  )

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
const findDead = (config: ClientConfig, clients: ReadonlyArray<PoolClient>) =>
  Effect.promise(async (): Promise<ReadonlyArray<PoolClient>> => {
    const prober = new ServiceClient({ ...config, query_timeout: config.connectionTimeoutMillis })
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
