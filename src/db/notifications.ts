import { SqlError } from "@effect/sql/SqlError"
import { Context, Effect, Stream } from "effect"
import type { ClientConfig } from "pg"
import { ServiceClient } from "./target.ts"

/** Notifications of PostgreSQL (`pg_notify`), from every process of the service. */
export class Notifications extends Context.Tag("voice-agent/Notifications")<
  Notifications,
  {
    /**
     * Emits once when it listens to the channel, and at each notification from then on. Fails when its connection is lost. Has
     * a connection besides those of the pool. PgBouncer in transaction mode passes no notifications on.
     */
    readonly listen: (channel: string) => Stream.Stream<void, SqlError>
  }
>() {}

const lost = (cause: unknown) => new SqlError({ cause, message: "Lost the connection for notifications" })

/** Connects as `config` says, which is that of the pool. */
export const makeNotifications = (config: ClientConfig): Notifications["Type"] => ({
  listen: (channel) =>
    Stream.asyncPush<void, SqlError>((emit) =>
      Effect.acquireRelease(
        Effect.tryPromise({
          try: async () => {
            const client = new ServiceClient({
              ...config,
              // The pool hides it from enumeration.
              password: config.password,
              // Finds out that the server is gone although this side only waits.
              keepAlive: true,
            })
            client.on("error", (cause) => emit.fail(lost(cause)))
            client.on("end", () => emit.fail(lost("it was closed")))
            client.on("notification", () => emit.single(undefined))
            try {
              await client.connect()
              await client.query(`listen ${client.escapeIdentifier(channel)}`)
            } catch (cause) {
              client.connection.stream.destroy()
              throw cause
            }
            emit.single(undefined)
            return client
          },
          catch: lost,
        }),
        (client) =>
          Effect.promise(() => client.end().catch(() => undefined)).pipe(
            Effect.interruptible,
            Effect.timeoutOption("1 second"),
          ),
      ),
    ),
})
