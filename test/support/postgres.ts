/** The PostgreSQL server of a test run. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as BunContext from "@effect/platform-bun/BunContext"
import { SQL } from "bun"
import { Effect, Exit, Logger, LogLevel, Redacted, Scope } from "effect"
import { startEmbedded } from "../../src/db/embedded.ts"
import { serverFolder } from "../../src/db/embedded-home.ts"
import { makeMemoryTablespace } from "./memory-tablespace.ts"

export interface PostgresServer {
  readonly url: string
  readonly stop: () => Promise<void>
}

/** The server of TEST_DATABASE_URL, or the embedded server in a temporary folder. */
export const startPostgres = async (): Promise<PostgresServer> => {
  const given = process.env.TEST_DATABASE_URL
  if (given !== undefined && given !== "") return { url: given, stop: async () => undefined }
  return startOwnPostgres()
}

/** A server whose configuration the test may change. `isDurable`: it waits for the disk, as in production. */
export const startOwnPostgres = async ({ isDurable = false } = {}): Promise<PostgresServer> => {
  const dataDir = await mkdtemp(join(tmpdir(), "voice-agent-test-"))
  const scope = Effect.runSync(Scope.make())
  let removeTablespace = async () => {}
  const stop = async () => {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    await removeTablespace()
    // For root, the folder of the server is outside `dataDir`.
    for (const folder of [serverFolder(dataDir), dataDir]) await rm(folder, { recursive: true, force: true })
  }
  try {
    const url = await Effect.runPromise(
      startEmbedded({ dataDir }).pipe(
        Scope.extend(scope),
        Effect.map(Redacted.value),
        Effect.provide(BunContext.layer),
        Logger.withMinimumLogLevel(LogLevel.Warning),
      ),
    )
    if (!isDurable) removeTablespace = await withoutCare(url)
    return { url, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/**
 * What the data of a test run needs not: it is gone afterwards. Without fsync, dropping a database takes 10 ms instead of
 * 400 ms. Vacuum and checkpoints would read hundreds of databases.
 */
const shortLived = {
  fsync: "off",
  full_page_writes: "off",
  synchronous_commit: "off",
  autovacuum: "off",
  checkpoint_timeout: "1h",
  max_wal_size: "16GB",
}

const withoutCare = async (url: string) => {
  const admin = new SQL(url, { max: 1 })
  for (const [setting, value] of Object.entries(shortLived)) {
    await admin.unsafe(`alter system set ${setting} = '${value}'`)
  }
  await admin.unsafe("select pg_reload_conf()")
  const removeTablespace = await makeMemoryTablespace(admin)
  await admin.close()
  return removeTablespace
}
