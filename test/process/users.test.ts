import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { Schema } from "effect"
import { runCommand, runProcess, stopCommands } from "../support/commands.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { cleanUpProcesses, mainFile, newFolder, startProcess } from "../support/process.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await makeDatabase()
})
afterAll(async () => {
  await stopCommands()
  await cleanUpProcesses()
  await database.drop()
})

/** On a busy machine. */
const timeoutMs = 30_000

interface Place {
  readonly cwd?: string
  readonly env?: Record<string, string>
  /** Starts a process for it. */
  readonly isProcess?: boolean
}

const users = (
  args: ReadonlyArray<string>,
  { env = { DATABASE_URL: database.url }, isProcess = false, ...place }: Place = {},
) =>
  (isProcess ? runProcess : runCommand)(["users", ...args], {
    ...place,
    env: { OPENAI_API_KEY: "sk-test", ...env },
  })
/** The JSON lines of a command. */
const lines = async <A, I>(schema: Schema.Schema<A, I>, args: ReadonlyArray<string>, place?: Place) => {
  const { code, stdout, stderr } = await users([...args, "--json"], place)
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
  return stdout
    .trim()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => Schema.decodeUnknownSync(Schema.parseJson(schema))(line))
}
const Made = Schema.Struct({
  userId: Schema.UUID,
  email: Schema.String,
  keyId: Schema.UUID,
  apiKey: Schema.String.pipe(Schema.pattern(/^sk_[0-9a-f]{64}$/)),
})
const Listed = Schema.Struct({
  userId: Schema.UUID,
  email: Schema.String,
  createdAt: Schema.Date,
  keys: Schema.Array(
    Schema.Struct({ id: Schema.UUID, name: Schema.String, revokedAt: Schema.NullOr(Schema.String) }),
  ),
})
const newEmail = () => `${crypto.randomUUID()}@example.com`
const create = async (email = newEmail(), place?: Place) => {
  const [made] = await lines(Made, ["create", email], place)
  if (made === undefined) throw new Error("nothing was printed")
  return made
}
/** True if the key works. */
const works = async (apiKey: string) => {
  const hash = new Bun.CryptoHasher("sha256").update(apiKey).digest("hex")
  return (
    (await database.sql`select 1 from api_keys where key_hash = ${hash} and revoked_at is null`).length > 0
  )
}
/** Expects a failed command: one sentence on stderr, after wrong arguments also where to find help, no other output. */
const refusal = async (args: ReadonlyArray<string>, code: number, place?: Place) => {
  const answer = await users(args, place)
  expect(answer).toMatchObject({ code, stdout: "" })
  const [, ...further] = answer.stderr.trimEnd().split("\n")
  expect(further.every((line) => line.startsWith("See ./voice-agent users "))).toBe(true)
  expect(answer.stderr).not.toContain("    at ")
  return answer.stderr
}

describe("users", () => {
  test(
    "create prints a new user's key, even with registration closed",
    async () => {
      const made = await create(" Ada@example.com ", {
        env: { DATABASE_URL: database.url, REGISTRATION: "closed" },
      })
      expect(made.email).toBe("Ada@example.com")
      expect(await works(made.apiKey)).toBe(true)
      const { code, stdout, stderr } = await users(["create", newEmail()])
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
      expect(stdout).toMatch(/^User \S+ \([\w-]{36}\)\nAPI key, shown this once: sk_[0-9a-f]{64}\n$/)
      expect(await refusal(["create", "ada@EXAMPLE.com"], 1)).toContain("already registered")
    },
    timeoutMs,
  )

  test(
    "list shows users and their keys' names, sorted",
    async () => {
      const made = await create()
      const listed = await lines(Listed, ["list"])
      const emails = listed.map(({ email }) => email.toLowerCase())
      expect(emails).toEqual(emails.toSorted())
      expect(listed.find(({ userId }) => userId === made.userId)).toMatchObject({
        email: made.email,
        keys: [{ id: made.keyId, name: "API key", revokedAt: null }],
      })
      const { stdout } = await users(["list"])
      expect(stdout).toContain(`${made.email}  ${made.userId}  since `)
      expect(stdout).toContain(`  ${made.keyId}  ${made.apiKey.slice(0, 7)}…  API key, never used\n`)
      expect(stdout).not.toContain(made.apiKey)
    },
    timeoutMs,
  )

  test(
    "list reads every page",
    async () => {
      const many = await makeDatabase()
      const place = { env: { DATABASE_URL: many.url } }
      expect(await lines(Listed, ["list"], place)).toEqual([])
      await many.sql`insert into users (email) select 'User' || n || '@example.com' from generate_series(1, 1001) n`
      const listed = await lines(Listed, ["list"], place)
      expect(new Set(listed.map(({ userId }) => userId)).size).toBe(1001)
      await many.drop()
    },
    timeoutMs,
  )

  test(
    "rotate replaces all keys, or those with a name",
    async () => {
      const { email, apiKey, userId } = await create()
      await database.sql`insert into api_keys (user_id, name, key_hash)
      select ${userId}, 'Phone', md5(${userId} || n) || md5(n::text) from generate_series(1, 2) n`
      const [phone] = await lines(Made, ["rotate", email.toUpperCase(), "--name", "Phone"])
      expect(phone?.userId).toBe(userId)
      expect([await works(apiKey), await works(phone?.apiKey ?? "")]).toEqual([true, true])
      const [all] = await lines(Made, ["rotate", email])
      expect([await works(apiKey), await works(phone?.apiKey ?? "")]).toEqual([false, false])
      expect(await works(all?.apiKey ?? "")).toBe(true)
      expect(await refusal(["rotate", email, "--name", "Fridge"], 1)).toContain("no such API key")
    },
    timeoutMs,
  )

  test(
    "revoke ends one key or all; rotate creates a new one",
    async () => {
      const { email, apiKey, keyId, userId } = await create()
      await database.sql`insert into api_keys (user_id, name, key_hash)
      select ${userId}, 'Phone', md5(${userId} || n) || md5(n::text) from generate_series(1, 2) n`
      const Revoked = Schema.Struct({ revoked: Schema.Number })
      expect(await lines(Revoked, ["revoke", email, keyId])).toEqual([{ revoked: 1 }])
      expect(await works(apiKey)).toBe(false)
      expect(await refusal(["revoke", email, keyId], 1)).toContain("no such API key")
      expect(await refusal(["revoke", email, "none"], 1)).toContain("no such API key")
      expect(await lines(Revoked, ["revoke", email])).toEqual([{ revoked: 2 }])
      const [back] = await lines(Made, ["rotate", email])
      expect(await works(back?.apiKey ?? "")).toBe(true)
    },
    timeoutMs,
  )

  test(
    "limit sets what a month may cost",
    async () => {
      const { email, userId } = await create()
      const limitOf = async () => {
        const listed = await lines(Schema.Struct({ userId: Schema.String, monthlyLimit: Schema.Unknown }), [
          "list",
        ])
        return listed.find((user) => user.userId === userId)?.monthlyLimit
      }
      expect(await limitOf()).toBe("default")
      const { code, stdout, stderr } = await users(["limit", email, "2.50"])
      expect({ code, stdout }).toEqual({ code: 0, stdout: `The monthly limit of ${email} is 2.5 now.\n` })
      expect(stderr).toMatch(
        /^No price for .+\(stt\).+ Set PRICES\. .+ does not count towards monthly limits\.\n$/,
      )
      expect(await limitOf()).toBe(2.5)
      expect((await users(["list"])).stdout).toContain("  monthly limit 2.5\n")
      for (const amount of ["0", "none", "default"]) {
        expect((await users(["limit", email, amount])).stderr === "").toBe(amount !== "0")
        expect(await limitOf()).toBe(amount === "0" ? 0 : amount)
      }
      for (const wrong of ["-1", "5 USD", "Infinity", "1e3", "", "9".repeat(400)])
        await refusal(["limit", email, "--", wrong], 2)
      expect(await refusal(["limit", newEmail(), "1"], 1)).toContain("no user")
    },
    timeoutMs,
  )

  test(
    "delete removes everything of the user",
    async () => {
      const { email, userId } = await create()
      await database.sql`insert into sessions (user_id) values (${userId})`
      const { code, stdout } = await users(["delete", email])
      expect({ code, stdout }).toEqual({
        code: 0,
        stdout: `Deleted ${email} (${userId}) with all their data.\n`,
      })
      expect(await database.sql`select 1 from users where id = ${userId}`).toHaveLength(0)
      expect(await database.sql`select 1 from sessions where user_id = ${userId}`).toHaveLength(0)
      expect(await refusal(["delete", email], 1)).toContain("no user with this e-mail address")
    },
    timeoutMs,
  )

  test.each([
    [["promote", "ada@example.com"], 'no command "users promote"'],
    [["toString"], 'no command "users toString"'],
    [["--json"], 'no command "users --json"'],
    [["create"], "Missing argument <EMAIL>"],
    [["create", "ada"], '"ada" is not an e-mail address'],
    [["create", "ada@example.com", "bob@example.com"], "unknown argument: 'bob@example.com'"],
    [["list", "ada@example.com"], "unknown argument: 'ada@example.com'"],
    [["list", "--name", "Phone"], "unknown argument: '--name'"],
    [["rotate", "ada@example.com", "--name", ""], "--name must be"],
    [["list", "--loud"], "unknown argument: '--loud'"],
  ])(
    "%j is invalid: exit code 2",
    async (args, said) => {
      expect(await refusal(args, 2)).toContain(said)
    },
    timeoutMs,
  )

  test.each([
    [[], "rotate [--name"],
    [["help"], "rotate [--name"],
    [["--help"], "rotate [--name"],
    [["create", "--help"], "<EMAIL>"],
  ])(
    "%j prints help",
    async (args, said) => {
      const { code, stdout, stderr } = await users(args, { env: { PORT: "wrong" } })
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
      expect(stdout).toContain(said)
    },
    timeoutMs,
  )

  test(
    "fails with one line without a database",
    async () => {
      const url = new URL(database.url)
      url.pathname = "/nowhere"
      const { code, stderr } = await users(["list"], { isProcess: true, env: { DATABASE_URL: url.href } })
      expect(code).toBe(1)
      expect(stderr).toMatch(/^The database refused the connection .*\n$/)
    },
    timeoutMs,
  )
})

test(
  "users and migrate work on the embedded database beside the service",
  async () => {
    const place = { cwd: newFolder(), env: { OFFLINE_ENGINES: "on" }, isProcess: true }
    const before = await create(undefined, place)
    const service = startProcess(place)
    const url = await service.url()
    const meanwhile = await create(undefined, place)
    const migration = startProcess({ ...place, args: [mainFile, "migrate"] })
    expect({ code: await migration.ended, stderr: migration.stderr() }).toEqual({ code: 0, stderr: "" })
    const me = (apiKey: string) =>
      fetch(`${url}/api/v1/users/me`, { headers: { authorization: `Bearer ${apiKey}` } })
    expect((await me(before.apiKey)).status).toBe(200)
    expect(await (await me(meanwhile.apiKey)).json()).toMatchObject({ email: meanwhile.email })
    expect((await users(["revoke", before.email], place)).code).toBe(0)
    expect((await me(before.apiKey)).status).toBe(401)
    expect((await fetch(`${url}/api/v1/ready`)).status).toBe(200)
    service.signal("SIGTERM")
    expect(await service.ended).toBe(0)
    expect(await lines(Listed, ["list"], place)).toHaveLength(2)
  },
  2 * timeoutMs,
)
