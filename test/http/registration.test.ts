import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { type Service, startService } from "../support/service.ts"
import { expectProblem, Registered, readAs } from "./answers.ts"

const token = "let-me-in"
let database: TestDatabase
let open: Service
let closed: Service
let guarded: Service
beforeAll(async () => {
  database = await makeDatabase()
  open = await startService({ database })
  closed = await startService({ database, env: { REGISTRATION: "closed" } })
  guarded = await startService({ database, env: { REGISTRATION: "token", REGISTRATION_TOKEN: token } })
})
afterAll(async () => {
  for (const service of [open, closed, guarded]) await service.stop()
  await database.drop()
})

const paths = ["/users/register", "/auth/register"]
const newEmail = () => `${crypto.randomUUID()}@example.com`
const register = (service: Service, path: string, body: object, headers: Record<string, string> = {}) =>
  service.call("POST", path, { body, headers })
const users = async () => (await database.sql`select count(*)::int as count from users`)[0].count

describe.each(paths)("POST %s", (path) => {
  test("is open by default", async () => {
    const answer = await register(open, path, { email: newEmail(), registrationToken: "whatever" })
    expect(answer.status).toBe(201)
  })

  test("with closed registration: 403", async () => {
    const before = await users()
    const taken = newEmail()
    await register(open, path, { email: taken })
    for (const email of [newEmail(), taken]) {
      await expectProblem(await register(closed, path, { email, registrationToken: token }), {
        status: 403,
        code: "REGISTRATION_CLOSED",
      })
    }
    expect(await users()).toBe(before + 1)
  })

  test("with a token: accepts it in the body or a header", async () => {
    const attempts: ReadonlyArray<readonly [object, Record<string, string>]> = [
      [{ registrationToken: token }, {}],
      [{}, { "x-registration-token": token }],
      [{ registrationToken: token }, { "x-registration-token": "another" }],
    ]
    for (const [body, headers] of attempts) {
      const answer = await register(guarded, path, { email: newEmail(), ...body }, headers)
      expect(answer.status).toBe(201)
      const { apiKey } = await readAs(Registered, answer)
      expect((await guarded.call("GET", "/users/me", { key: apiKey })).status).toBe(200)
    }
  })

  test.each<[string, object, Record<string, string>]>([
    ["none", {}, {}],
    ["an empty one", { registrationToken: "" }, {}],
    ["another", { registrationToken: "let-me-ix" }, {}],
    ["a part of it", { registrationToken: token.slice(0, -1) }, {}],
    ["more than it", { registrationToken: `${token}n` }, {}],
    ["it in other letters", { registrationToken: token.toUpperCase() }, {}],
    ["another in the header", {}, { "x-registration-token": "another" }],
  ])("with a token: rejects %s", async (_, body, headers) => {
    const before = await users()
    await expectProblem(await register(guarded, path, { email: newEmail(), ...body }, headers), {
      status: 403,
      code: "INVALID_REGISTRATION_TOKEN",
    })
    expect(await users()).toBe(before)
  })

  test("without the token: reveals no address and no token", async () => {
    const email = newEmail()
    await register(open, path, { email })
    await expectProblem(await register(guarded, path, { email }), {
      status: 403,
      code: "INVALID_REGISTRATION_TOKEN",
    })
    const wrong = await register(guarded, path, { email: newEmail(), registrationToken: [token] })
    const message = await expectProblem(wrong, { status: 400, code: "VALIDATION_ERROR" })
    expect(message).toBe("registrationToken: must be a string")
  })
})

describe("an e-mail address", () => {
  test("is stored in NFC", async () => {
    const name = crypto.randomUUID()
    const answer = await register(open, "/users/register", { email: `e\u0301.${name}@example.com` })
    const { userId } = await readAs(Registered, answer)
    const [stored] = await database.sql`select email from users where id = ${userId}`
    expect(stored.email).toBe(`\u00e9.${name}@example.com`)
    for (const email of [`\u00e9.${name}@example.com`, `E\u0301.${name}@EXAMPLE.com`]) {
      await expectProblem(await register(open, "/users/register", { email }), {
        status: 409,
        code: "EMAIL_TAKEN",
      })
    }
  })

  test.each([
    ["a soft hyphen", "a\u00adb"],
    ["a joiner", "a\u200db"],
    ["a mark of direction", "a\u202eb"],
    ["a byte order mark", "a\ufeffb"],
    ["a combining joiner", "a\u034fb"],
    ["a filler letter", "a\u3164b"],
    ["a variation selector", "a\ufe0fb"],
    ["a tag", "a\u{e0041}b"],
    ["empty Braille", "a\u2800b"],
    ["a private character", "a\ue000b"],
    ["half a character", "a\udc00b"],
    ["a delete", "a\u007fb"],
    ["a line separator", "a\u2028b"],
  ])("with %s is rejected", async (_, name) => {
    for (const email of [`${name}@example.com`, `ada@${name}.com`, `ada@example.${name}`]) {
      await expectProblem(await register(open, "/users/register", { email }), {
        status: 400,
        code: "VALIDATION_ERROR",
        message: "email: must be an e-mail address of at most 255 characters",
      })
    }
  })
})
