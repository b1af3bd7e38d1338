import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as BunContext from "@effect/platform-bun/BunContext"
import { SQL } from "bun"
import { Effect, Exit, Redacted, Scope } from "effect"
import { startEmbedded } from "../../src/db/embedded.ts"
import { serverFolder } from "../../src/db/embedded-home.ts"

interface Cluster {
  readonly url: string
  readonly stop: () => Promise<void>
}

/** One PostgreSQL for the whole run: TEST_DATABASE_URL, or the embedded one in a temporary folder. */
let cluster: Promise<Cluster> | undefined

const startCluster = async (): Promise<Cluster> => {
  const given = process.env.TEST_DATABASE_URL
  if (given !== undefined && given !== "") return { url: given, stop: async () => undefined }
  const dataDir = await mkdtemp(join(tmpdir(), "voice-agent-test-"))
  const scope = Effect.runSync(Scope.make())
  const url = await Effect.runPromise(
    startEmbedded({ dataDir }).pipe(Scope.extend(scope), Effect.provide(BunContext.layer)),
  )
  const stop = async () => {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    // As root the server lies elsewhere.
    for (const folder of [serverFolder(dataDir), dataDir]) await rm(folder, { recursive: true, force: true })
  }
  return { url: Redacted.value(url), stop }
}

/** Ends the run's own server; called once, after the last test. */
export const stopCluster = async () => {
  await (await cluster)?.stop()
  cluster = undefined
}

export interface TestDatabase {
  readonly url: string
  /** A connection of the test's own, to look at what is stored. */
  readonly sql: SQL
  readonly drop: () => Promise<void>
}

/** A new, empty database. */
export const makeDatabase = async (): Promise<TestDatabase> => {
  cluster ??= startCluster()
  const base = (await cluster).url
  const name = `test_${crypto.randomUUID().replaceAll("-", "")}`
  const admin = new SQL(base, { max: 1 })
  await admin.unsafe(`create database ${name}`)
  const url = new URL(base)
  url.pathname = `/${name}`
  const sql = new SQL(url.href, { max: 2 })
  const drop = async () => {
    await sql.close()
    await admin.unsafe(`drop database if exists ${name} with (force)`)
    await admin.close()
  }
  return { url: url.href, sql, drop }
}
