import { afterAll, describe, expect, test } from "bun:test"
import { join } from "node:path"
import * as FileSystem from "@effect/platform/FileSystem"
import { Effect, Schema } from "effect"
import { suspects } from "../../src/config/dotenv.ts"
import { makeDatabase } from "../support/database.ts"
import { cleanUpProcesses, mainFile, newFolder, startProcess } from "../support/process.ts"

afterAll(cleanUpProcesses)

const Report = Schema.parseJson(
  Schema.Struct({ checks: Schema.Array(Schema.Struct({ check: Schema.String, found: Schema.String })) }),
)

const Variables = Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.String }))

const write = async (files: Readonly<Record<string, string>>) => {
  const cwd = newFolder()
  for (const [name, text] of Object.entries(files)) await Bun.write(join(cwd, name), text)
  return cwd
}

/** What doctor says of the settings. A secret in every value: no output may contain it. */
const doctorFinds = async (
  files: Record<string, string>,
  env: Record<string, string> = {},
  bun: string[] = [],
) => {
  const doctor = startProcess({
    cwd: await write(files),
    args: [...bun, mainFile, "doctor", "--json"],
    env: { DATABASE_URL: "postgres://127.0.0.1:1/none", FFMPEG_PATH: "/no/ffmpeg", ...env },
  })
  await doctor.ended
  expect(`${doctor.stdout()}${doctor.stderr()}`).not.toContain("hush")
  const { checks } = Schema.decodeSync(Report)(doctor.stdout())
  return checks.filter(({ check }) => check === "settings").map(({ found }) => found)
}

/** What a real Bun makes of these files, as a process that starts among them has it. */
const variablesOf = async (cwd: string, env: Readonly<Record<string, string>>) => {
  const child = Bun.spawn([process.execPath, "-e", "console.log(JSON.stringify(process.env))"], {
    cwd,
    env: { HOME: "/home/ada", ...env },
    stdout: "pipe",
  })
  return Schema.decodeSync(Variables)(await child.stdout.text())
}

const readText = async (path: string) => ((await Bun.file(path).exists()) ? Bun.file(path).text() : "")

/** What the start and doctor find suspect, without the 0.5 s of such a process. */
const start = async (files: Record<string, string>, env: Record<string, string> = {}) => {
  const cwd = await write(files)
  const own = process.env
  process.env = await variablesOf(cwd, env)
  const inFolder = FileSystem.layerNoop({
    readFileString: (name) => Effect.promise(() => readText(join(cwd, name))),
  })
  try {
    const kinds = await Effect.runPromise(Effect.provide(suspects, inFolder))
    const found = kinds.map(({ problem }) => problem)
    expect(kinds.map(({ problem, advice }) => `${problem}${advice}`).join()).not.toContain("hush")
    return found
  } finally {
    process.env = own
  }
}

const braced = (text: string) => `$\{${text}}`

const expanded = (names: string) => [`Bun replaced a $ in .env in the value of ${names}`]

describe("a $ in .env", () => {
  test.each([
    ["bare", "REGISTRATION_TOKEN=hush$cdef$1"],
    ["at the start", "REGISTRATION_TOKEN=$hush"],
    ["of a number", "REGISTRATION_TOKEN=hush$1"],
    ["after another", "REGISTRATION_TOKEN=hush$$HOME"],
    ["in single quotes", "REGISTRATION_TOKEN='hush$cdef'"],
    ["in double quotes", 'REGISTRATION_TOKEN="hush$cdef" # a comment'],
    ["in backticks", "REGISTRATION_TOKEN=`hush$cdef`"],
    ["exported", "export REGISTRATION_TOKEN=hush$cdef"],
    ["after a colon", "REGISTRATION_TOKEN: hush$cdef"],
    ["with spaces", "  REGISTRATION_TOKEN = hush$cdef  "],
    ["of a name that is set", "REGISTRATION_TOKEN=hush$HOME"],
    ["in braces, of a name that is not set", `REGISTRATION_TOKEN=hush${braced("cdef")}`],
    ["beside an escaped one", "REGISTRATION_TOKEN=hush\\$a$b"],
    ["with CRLF", "LOG_LEVEL=info\r\nREGISTRATION_TOKEN=hush$cdef\r\nLOG_DIR=\r\n"],
    ["of a later line", "REGISTRATION_TOKEN=hush$LATER\nLATER=on"],
  ])("%s: a warning", async (_, line) => {
    expect(await start({ ".env": line })).toEqual(expanded("REGISTRATION_TOKEN"))
  })

  test("in a value of several lines: a warning", async () => {
    expect(await start({ ".env": 'SYSTEM_PROMPT="hush\nSay $5."\nLOG_LEVEL=info\n' })).toEqual(
      expanded("SYSTEM_PROMPT"),
    )
  })

  test.each([
    ["escaped", "REGISTRATION_TOKEN=hush\\$cdef\\$1"],
    ["escaped, in quotes", "REGISTRATION_TOKEN='hush\\$cdef'"],
    ["at the end", "REGISTRATION_TOKEN=hush$"],
    ["before another character", "REGISTRATION_TOKEN=hush$-$.$%"],
    ["in a comment", "# hush$cdef\nREGISTRATION_TOKEN=hush # $cdef"],
    ["in braces, of a name that is set", `REGISTRATION_TOKEN=hush${braced("HOME")}`],
    ["in braces, with a default", `REGISTRATION_TOKEN=hush${braced("cdef:-x")}`],
  ])("%s: none", async (_, line) => {
    expect(await start({ ".env": line })).toEqual([])
  })

  test("overridden by the environment: none", async () => {
    const files = { ".env": "REGISTRATION_TOKEN=hush$cdef\nLLM_MODEL=$hush" }
    expect(await start(files, { REGISTRATION_TOKEN: "hush$cdef", LLM_MODEL: "other" })).toEqual([])
  })

  test("in each file that Bun reads", async () => {
    const line = "REGISTRATION_TOKEN=hush$cdef"
    for (const file of [".env.local", ".env.development", ".env.development.local"]) {
      expect(await start({ [file]: line })).toEqual(expanded("REGISTRATION_TOKEN"))
    }
    expect(await start({ ".env.production": line })).toEqual([])
    expect(
      await start({ ".env.production": line }, { NODE_ENV: "production", OFFLINE_ENGINES: "on" }),
    ).toEqual(expanded("REGISTRATION_TOKEN"))
    expect(await start({ ".env": line, ".env.local": "REGISTRATION_TOKEN=other" })).toEqual([])
    const named = ["--env-file=other"]
    expect(await doctorFinds({ other: line }, {}, named)).toEqual(expanded("REGISTRATION_TOKEN"))
  })
})

const cut = (names: string) => [`Bun cut the value of ${names} in .env at a #`]

describe("a # in .env", () => {
  test.each([
    ["after a character", "REGISTRATION_TOKEN=hush#cd"],
    ["before a space", "REGISTRATION_TOKEN=hush# cd"],
    ["at the end", "REGISTRATION_TOKEN=hush#"],
    ["at the start", "REGISTRATION_TOKEN=#hush"],
    ["twice", "REGISTRATION_TOKEN=hush##cd"],
    ["after a backslash", "REGISTRATION_TOKEN=hush\\#cd"],
    ["and a comment", "REGISTRATION_TOKEN=hush#cd # a comment"],
    ["exported", "export REGISTRATION_TOKEN=hush#cd"],
    ["after a colon", "REGISTRATION_TOKEN: hush#cd"],
    ["with CRLF", "LOG_LEVEL=info\r\nREGISTRATION_TOKEN=hush#cd\r\nLOG_DIR=\r\n"],
    ["with an escaped $", "REGISTRATION_TOKEN=hush\\$a#cd"],
    ["with a reference", `REGISTRATION_TOKEN=hush${braced("HOME")}#cd`],
  ])("%s: a warning", async (_, line) => {
    expect(await start({ ".env": line })).toEqual(cut("REGISTRATION_TOKEN"))
  })

  test.each([['{"a":"#b"}'], ['{"a":"b #1"}'], ['{"a": 1, #b'], ['["b","#"]']])(
    "in JSON, %s: a warning",
    async (json) => {
      const found = await start({ ".env": `LLM_EXTRA_BODY=${json}` })
      expect(found).toContain(cut("LLM_EXTRA_BODY")[0] ?? "")
    },
  )

  test.each([
    ["after a space", "REGISTRATION_TOKEN=hush #cd"],
    ["after a tab", "REGISTRATION_TOKEN=hush\t# cd"],
    ["after an empty value", "REGISTRATION_TOKEN= #cd"],
    ["before a comment, after an empty value", "REGISTRATION_TOKEN=# a comment"],
    ["in double quotes", 'REGISTRATION_TOKEN="hush#cd"'],
    ["in single quotes", "REGISTRATION_TOKEN='hush#cd'"],
    ["in backticks", "REGISTRATION_TOKEN=`hush#cd`"],
    ["after quotes", 'REGISTRATION_TOKEN="hush"#cd'],
    ["in a comment", "#REGISTRATION_TOKEN=hush#cd"],
    ["after JSON", 'LLM_EXTRA_BODY={"a":"hush"} # b'],
    ["in JSON in quotes", `LLM_EXTRA_BODY='{"a":"#hush"}'`],
    ["in a value of several lines", 'SYSTEM_PROMPT="hush\na#b\n"'],
  ])("%s: none", async (_, line) => {
    expect(await start({ ".env": line })).toEqual([])
  })

  test("overridden by the environment: none", async () => {
    expect(await start({ ".env": "REGISTRATION_TOKEN=hush#cd" }, { REGISTRATION_TOKEN: "other" })).toEqual([])
  })
})

test.each([["'hush'"], ['"hush"'], ["`hush`"], [" 'hush' "]])("quotes around a value: %s", async (value) => {
  expect(await start({}, { OPENAI_API_KEY: value })).toEqual(
    expect.arrayContaining(["the quotes around the value of OPENAI_API_KEY are part of it"]),
  )
})

test.each([["'"], ["it's 'quoted'"], ["\"a\" or 'b'"]])("no quotes around a value: %s", async (value) => {
  expect(await start({}, { SYSTEM_PROMPT: value })).toEqual([])
})

test("doctor says each kind, without the values", async () => {
  const file = "REGISTRATION_TOKEN=hush$cdef\nSYSTEM_PROMPT=hush#cd"
  const quoted = "the quotes around the value of LLM_MODEL are part of it"
  expect(await doctorFinds({ ".env": file }, { LLM_MODEL: "'hush'" })).toEqual([
    ...expanded("REGISTRATION_TOKEN"),
    ...cut("SYSTEM_PROMPT"),
    quoted,
  ])
  expect(await doctorFinds({ ".env": "REGISTRATION_TOKEN=hush" })).toEqual([])
})

test("the start warns, and names the variables in its failure", async () => {
  const database = await makeDatabase()
  const cwd = newFolder()
  await Bun.write(join(cwd, ".env"), "REGISTRATION_TOKEN=hush$cdef\nREGISTRATION=token\n")
  const env = {
    DATABASE_URL: database.url,
    NODE_ENV: "production",
    OFFLINE_ENGINES: "on",
    LLM_MODEL: '"hush"',
  }
  const service = startProcess({ cwd, env })
  await service.url()
  service.signal("SIGTERM")
  expect(await service.ended).toBe(0)
  expect(service.records().filter(({ event }) => `${event}`.startsWith("settings."))).toMatchObject([
    { level: "warn", event: "settings.dollar_replaced", variables: ["REGISTRATION_TOKEN"] },
    { level: "warn", event: "settings.quotes_kept", variables: ["LLM_MODEL"] },
  ])
  await Bun.write(join(cwd, ".env"), "REGISTRATION_TOKEN=$hush\nREGISTRATION=token\n")
  const failed = startProcess({ cwd, env })
  expect(await failed.ended).toBe(1)
  expect(failed.stderr()).toMatch(
    /REGISTRATION_TOKEN must be set .*Bun replaced a \$ in \.env .*REGISTRATION_TOKEN/,
  )
  expect(`${service.stdout()}${failed.stderr()}`).not.toContain("hush")
  await database.drop()
})
