import { readdir } from "node:fs/promises"
import { join } from "node:path"
import type { SQL } from "bun"

const folder = join(import.meta.dir, "../../migrations")

/** Applies the first `count` migrations to an empty database. */
export const migrateTo = async (sql: SQL, count: number) => {
  await sql`create table schema_migrations
    (migration_id integer primary key, created_at timestamptz not null default now(), name varchar(255) not null)`
  for (const file of (await readdir(folder)).toSorted().slice(0, count)) {
    await sql.unsafe(await Bun.file(join(folder, file)).text())
    const [, id, name] = /^(\d+)_(\w+)\.sql$/.exec(file) ?? []
    await sql`insert into schema_migrations (migration_id, name) values (${Number(id)}, ${name})`
  }
}
