/** A checkout in a folder whose name has characters that a URL encodes. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { cp, mkdir, symlink } from "node:fs/promises"
import { join } from "node:path"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { cleanUpProcesses, newFolder, startProcess } from "../support/process.ts"

const root = join(import.meta.dir, "../..")
const checkout = join(newFolder(), "my voice #1 é %20")

let database: TestDatabase
beforeAll(async () => {
  database = await makeDatabase()
  await mkdir(checkout)
  for (const part of ["src", "scripts", "migrations", "package.json", "tsconfig.json"]) {
    await cp(join(root, part), join(checkout, part), { recursive: true })
  }
  await symlink(join(root, "node_modules"), join(checkout, "node_modules"))
})
afterAll(async () => {
  await cleanUpProcesses()
  await database.drop()
})

test("serves the page", async () => {
  const service = startProcess({
    args: [join(checkout, "src/main.ts")],
    env: { DATABASE_URL: database.url, OFFLINE_ENGINES: "on" },
  })
  const url = await service.url()
  for (const path of ["/", "/client.js", "/docs"]) {
    const answer = await fetch(`${url}${path}`)
    expect([path, answer.status]).toEqual([path, 200])
  }
})

test("the set-up runs commands in it", async () => {
  const script = `import { run } from "./scripts/setup.ts"; process.exit(await run(["pwd"]))`
  const setUp = startProcess({ args: ["-e", script], cwd: checkout })
  expect(await setUp.ended).toBe(0)
  expect(setUp.stdout().trim()).toBe(checkout)
})

test("no path is taken from a URL", async () => {
  for (const folder of ["src", "scripts", "examples"]) {
    for await (const file of new Bun.Glob("**/*.ts").scan(join(root, folder))) {
      const text = await Bun.file(join(root, folder, file)).text()
      expect([file, /import\.meta\.url\)\s*\.pathname/.test(text)]).toEqual([file, false])
    }
  }
})
