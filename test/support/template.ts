/** The migrated database that test databases are cloned from. */
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { SQL } from "bun"
import { ConfigProvider, Effect, Layer } from "effect"
import { memoryTablespace } from "./memory-tablespace.ts"

const folder = join(import.meta.dir, "../../migrations")

/** One per state of the migrations. The server of TEST_DATABASE_URL keeps it for the next run. */
const nameOfTemplate = async () => {
  const files = (await readdir(folder)).toSorted()
  const hasher = new Bun.CryptoHasher("sha256")
  for (const file of files) hasher.update(file).update(await Bun.file(join(folder, file)).bytes())
  return `test_template_${hasher.digest("hex").slice(0, 16)}`
}

/** The key of the lock under which one process makes the template. Any number works. */
const lockKey = 5_241_907

/** Makes the template if this server has none, and returns its name. About 0.6 s the first time. */
export const makeTemplate = async (serverUrl: string): Promise<string> => {
  const name = await nameOfTemplate()
  const admin = new SQL(serverUrl, { max: 1 })
  try {
    const isThere = async () =>
      (await admin`select 1 from pg_database where datname = ${name} and datistemplate`).length > 0
    if (await isThere()) return name
    await admin`select pg_advisory_lock(${lockKey})`
    if (await isThere()) return name
    // A killed process leaves a template without the mark.
    await admin.unsafe(`drop database if exists ${name} with (force)`)
    const [memory] = await admin`select 1 from pg_tablespace where spcname = ${memoryTablespace}`
    await admin.unsafe(
      `create database ${name} ${memory === undefined ? "" : `tablespace ${memoryTablespace}`}`,
    )
    const url = new URL(serverUrl)
    url.pathname = `/${name}`
    await migrate(url.href)
    await admin.unsafe(`alter database ${name} with is_template true allow_connections false`)
    return name
  } finally {
    await admin.close()
  }
}

const migrate = async (url: string) => {
  // Imported here: it is the whole service, and most test processes find the template ready.
  const { migrationsOnly } = await import("../../src/app.ts")
  const variables = { DATABASE_URL: url, OPENAI_API_KEY: "sk-test", LOG_LEVEL: "none", LOG_DIR: "" }
  const provider = Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(variables))))
  await Effect.runPromise(Effect.scoped(Layer.build(Layer.provide(migrationsOnly, provider))))
}
