import { SQL } from "bun"
import { type PostgresServer, startPostgres } from "./postgres.ts"
import { makeTemplate } from "./template.ts"

/** One server for all tests of this process. `bun run check` sets TEST_DATABASE_URL, so that all its processes share one. */
let server: Promise<PostgresServer> | undefined
let template: Promise<string> | undefined

/** Stops the server that `makeDatabase` started. For the end of the process. */
export const stopServer = async () => {
  await (await server)?.stop()
  server = undefined
  template = undefined
}

export interface TestDatabase {
  readonly url: string
  /** A connection of the test, to read what is stored. */
  readonly sql: SQL
  readonly drop: () => Promise<void>
}

/** A new database with the service's schema, cloned from a template and in its tablespace. About 60 ms. */
export const makeDatabase = async (): Promise<TestDatabase> => {
  const url = await serverUrl()
  template ??= makeTemplate(url)
  return create(url, await template)
}

/** A new database without the schema, for tests of the migrations. */
export const makeEmptyDatabase = async (): Promise<TestDatabase> => create(await serverUrl(), "template1")

const serverUrl = async () => {
  server ??= startPostgres()
  return (await server).url
}

const create = async (base: string, from: string): Promise<TestDatabase> => {
  const name = `test_${crypto.randomUUID().replaceAll("-", "")}`
  const admin = new SQL(base, { max: 1 })
  await admin.unsafe(`create database ${name} template ${from}`)
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
