import { Duration, Effect, type Redacted } from "effect"
import { Client, type ClientConfig } from "pg"
import { parseConnectionUrl } from "./connection-url.ts"
import { DatabaseNotReady } from "./errors.ts"
import { type Tls, tlsOptions } from "./tls.ts"

/** Where the database is, and how to connect to it. It contains the password. */
export interface Target {
  readonly config: ClientConfig
  /** The ways to connect, in order: the first that works is used. */
  readonly ways: ReadonlyArray<Tls>
}

/** Reads DATABASE_URL and the files that it names. Fails with a sentence about a parameter that cannot be used. */
export const targetOf = Effect.fnUntraced(function* (url: Redacted.Redacted) {
  const parsed = yield* Effect.mapError(
    parseConnectionUrl(url),
    (message) => new DatabaseNotReady({ message }),
  )
  const { host, port, user, password, database, applicationName, options, connectTimeout, tls, unknown } =
    parsed
  if (unknown.length > 0) {
    yield* Effect.annotateLogs(Effect.logWarning("database.parameters_ignored"), { parameters: unknown })
  }
  const isSocket = host?.startsWith("/") ?? false
  const config: ClientConfig = {
    host,
    port,
    user,
    password,
    database,
    application_name: applicationName,
    options,
    connectionTimeoutMillis: Duration.toMillis(connectTimeout),
    enableChannelBinding: tls.needsChannelBinding,
    ...(tls.isDirect ? { sslnegotiation: "direct" } : {}),
  }
  // As in libpq: nothing is encrypted, or checked, on a Unix socket.
  const ways = isSocket ? [false as const] : yield* tlsOptions(tls)
  return { config, ways } satisfies Target
})

declare module "pg" {
  interface Client {
    /** The parameters of the startup message. Missing in the types of pg. */
    getStartupConf(): Record<string, string>
  }
}

/**
 * A connection that does not depend on settings of the database or the role (`alter database … set …`), also behind
 * PgBouncer in transaction mode, where a `set` would be lost and where `options` are refused:
 *
 * - DateStyle, because pg does not parse times in a style such as `German`. As a startup parameter it overrides both, and
 *   PgBouncer tracks it per client. The value is complete, because PgBouncer compares it with the server's.
 * - The isolation of transactions. `serializable` would roll back turns that run at the same time.
 */
export class ServiceClient extends Client {
  constructor(config?: ClientConfig) {
    super(config)
    const query = this.connection.query.bind(this.connection)
    this.connection.query = (text) => query(text === "BEGIN" ? "BEGIN ISOLATION LEVEL READ COMMITTED" : text)
  }

  override getStartupConf() {
    return { ...super.getStartupConf(), DateStyle: "ISO, MDY" }
  }
}
