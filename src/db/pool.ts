import { SqlError } from "@effect/sql/SqlError"
import { Duration, Effect, FiberSet, Predicate, Redacted } from "effect"
import { Client, DatabaseError, Pool, type PoolClient } from "pg"

/** To be given a connection, made anew or free again. */
const connectPatience = Duration.seconds(2)

/** How often a look is taken at the connections that wait for an answer. */
const lookEvery = Duration.seconds(2)

/**
 * In looks: the server is then asked whether it works on that answer. A statement has 10 s (`patience` in postgres.ts): it
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
  retireDead(pool, { runFork, notAtWork: (clients) => notAtWork(connectionString, clients) })
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
  readonly notAtWork: (clients: ReadonlyArray<PoolClient>) => Effect.Effect<ReadonlyArray<PoolClient>>
  readonly runFork: (effect: Effect.Effect<unknown>) => unknown
}

/** Lets no dead connection be handed out, as far as their answers tell. */
const retireDead = (pool: Pool, { notAtWork, runFork }: Means) => {
  const idle = new Set<PoolClient>()
  /** And for how many looks without an answer. */
  const held = new Map<PoolClient, number>()
  /** Their statement was refused: that was the answer, and only the word that the next one may come is still under way. */
  const refused = new WeakSet<PoolClient>()

  /** Where one is dead, the others are hardly alive. */
  const destroyWithIdle = (client: PoolClient) => {
    for (const each of [client, ...idle]) destroy(each)
  }
  const look = Effect.gen(function* () {
    const suspects = new Map<PoolClient, number>()
    for (const [client, before] of held) {
      if (!isWaiting(client)) continue
      const count = before + 1
      held.set(client, count)
      if (count % suspicious === 0) suspects.set(client, count)
    }
    if (suspects.size === 0) return
    for (const client of yield* notAtWork([...suspects.keys()])) {
      if (held.get(client) === suspects.get(client)) destroyWithIdle(client)
    }
  })
  let isLooking = false
  /** Until none is held any more. */
  const looks = Effect.sleep(lookEvery).pipe(
    Effect.zipRight(look),
    Effect.repeat({
      while: () => {
        isLooking = held.size > 0
        return isLooking
      },
    }),
  )

  pool.on("connect", (client) => {
    client.connection.on("readyForQuery", () => {
      refused.delete(client)
      if (held.has(client)) held.set(client, 0)
    })
    // Before pg hears of it, which tells the caller at once, who gives the connection back.
    client.connection.prependListener("errorMessage", ({ code, severity }: DatabaseError) => {
      if (code === readOnly) destroyWithIdle(client)
      // FATAL ends the connection. Where a server says it in words of another language, a refusal costs one.
      else if (severity === "ERROR") refused.add(client)
    })
  })
  pool.on("acquire", (client) => {
    idle.delete(client)
    held.set(client, 0)
    if (isLooking) return
    isLooking = true
    runFork(looks)
  })
  pool.on("release", (error, client) => {
    held.delete(client)
    // What is in the middle of an answer is not given to anyone else: by this the pool does not take it back.
    if (isWaiting(client) && !refused.has(client)) void client.end()
    else if (!error) idle.add(client)
  })
  pool.on("remove", (client) => {
    idle.delete(client)
    held.delete(client)
  })
}

interface Answer {
  readonly isPooled: boolean
  readonly atWork: ReadonlyArray<number>
}

/** All that is not idle: where an operator switched track_activities off, every state is `disabled`. */
const question = `
  select pg_backend_pid() <> $1 as "isPooled",
    array(select pid from pg_stat_activity where pid = any($2) and state not like 'idle%') as "atWork"`

/** The server process at the other end; -1, which is no process, where none was told. */
const processId = (client: Client | PoolClient): number =>
  Predicate.hasProperty(client, "processID") && typeof client.processID === "number" ? client.processID : -1

/**
 * Those for which the server does not work on what they asked for, as it may for minutes (the clean-up's deletions, a
 * migration). Asked by one connection of its own: no other says whether the server can still be reached.
 *
 * None where the answer is an error: who refuses another connection (`too many connections`) is alive, and may well be at
 * work. None behind a pooler either, which invents the process ids that it tells its clients: the server's own are not to
 * be compared with them, and connections that are dead are the pooler's to notice.
 */
const notAtWork = (connectionString: string, clients: ReadonlyArray<PoolClient>) =>
  Effect.promise(async (): Promise<ReadonlyArray<PoolClient>> => {
    const patience = Duration.toMillis(connectPatience)
    const asking = new Client({
      connectionString,
      connectionTimeoutMillis: patience,
      query_timeout: patience,
    })
    asking.on("error", () => undefined)
    try {
      await asking.connect()
      const { rows } = await asking.query<Answer>(question, [processId(asking), clients.map(processId)])
      const [answer] = rows
      if (answer === undefined || answer.isPooled) return []
      return clients.filter((client) => !answer.atWork.includes(processId(client)))
    } catch (error) {
      return error instanceof DatabaseError ? [] : clients
    } finally {
      asking.connection.stream.destroy()
    }
  })
