import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { cleanUpProcesses, mainFile, newFolder, startProcess } from "../support/process.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await makeDatabase()
})
afterAll(async () => {
  await cleanUpProcesses()
  await database.drop()
})

/** A start that fails: one sentence on stderr, code 1. */
const refusal = async (env: Record<string, string>, args: ReadonlyArray<string> = []) => {
  const failed = startProcess({ env: { DATABASE_URL: database.url, ...env }, args: [mainFile, ...args] })
  expect(await failed.ended).toBe(1)
  expect(failed.stderr().trimEnd().split("\n")).toHaveLength(1)
  expect(failed.stderr()).not.toContain("    at ")
  return failed.stderr().trimEnd()
}

describe("a start that cannot be is refused with one sentence", () => {
  test("for values that are wrong, all of them, without quoting what may be secret", async () => {
    const said = await refusal({
      PORT: "http",
      LOG_LEVEL: "loud",
      DATABASE_URL: "postgres//voice:hush@localhost/voice",
      OPENAI_API_KEY: "sk-hush\nX-Forged: 1",
      TTS_BASE_URL: "voice:hush@localhost",
    })
    expect(said).toContain('PORT must be a whole number from 0 to 65535, but it is "http".')
    expect(said).toContain("LOG_LEVEL must be one of debug, info, warn, error, none")
    expect(said).toContain("DATABASE_URL must be postgres://user:password@host:5432/database")
    expect(said).toContain("OPENAI_API_KEY must be")
    expect(said).toContain("TTS_BASE_URL must be a URL")
    expect(said).not.toContain("hush")
  })

  test("for production without a provider", async () => {
    expect(await refusal({ NODE_ENV: "production", OPENAI_API_KEY: "" })).toContain(
      "OPENAI_API_KEY must be set",
    )
  })

  test("for a port in use, so that two never share one", async () => {
    const first = startProcess({ env: { DATABASE_URL: database.url } })
    const url = await first.url()
    const { port } = new URL(url)
    expect(await refusal({ PORT: port })).toContain(`http://127.0.0.1:${port} could not be opened`)
    expect((await fetch(`${url}/api/v1/health`)).status).toBe(200)
    first.signal("SIGTERM")
    expect(await first.ended).toBe(0)
  })

  test("for an address that is not of this machine", async () => {
    expect(await refusal({ HOST: "192.0.2.1" })).toContain("set PORT or HOST to another")
  })

  test("without ffmpeg", async () => {
    const said = await refusal({ FFMPEG_PATH: "/no/ffmpeg", OPENAI_API_KEY: "sk-test" })
    expect(said).toContain('There is no ffmpeg at "/no/ffmpeg"')
  })

  test("for a wrong password and a wrong database, at once and without the password", async () => {
    const url = new URL(database.url)
    url.password = "hush"
    const password = await refusal({ DATABASE_URL: url.href })
    expect(password).toContain("check the user, password and database name in DATABASE_URL")
    expect(password).not.toContain("hush")
    const other = new URL(database.url)
    other.pathname = "/nowhere"
    expect(await refusal({ DATABASE_URL: other.href })).toContain('"nowhere" does not exist')
  })

  test("for logs that cannot be written", async () => {
    const file = join(newFolder(), "logs")
    await Bun.write(file, "a file, where the folder should be")
    const said = await refusal({ LOG_DIR: file })
    expect(said).toContain(`${file}/combined.log can't be written`)
    expect(said).toContain("set LOG_DIR to another folder")
    const folder = newFolder()
    mkdirSync(join(folder, "error.log"))
    expect(await refusal({ LOG_DIR: folder })).toContain(`${folder}/error.log can't be written`)
  })

  test("for a command that does not exist", async () => {
    expect(await refusal({}, ["toString"])).toContain('There is no command "toString": use serve')
    expect(await refusal({}, ["serve", "now"])).toContain('There is no command "serve now"')
  })
})
