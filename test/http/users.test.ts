import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { type Service, startService } from "../support/service.ts"
import { expectProblem, LoggedIn, Registered, readAs } from "./answers.ts"

let service: Service
beforeAll(async () => {
  service = await startService()
})
afterAll(() => service.stop())

const newEmail = () => `${crypto.randomUUID()}@example.com`
const register = (email: unknown, path = "/users/register") => service.call("POST", path, { body: { email } })
const sendForm = (path: string, fields: Record<string, string>) =>
  fetch(`${service.url}${path}`, { method: "POST", body: new URLSearchParams(fields) })
const stored = async (email: string) =>
  (
    await service.database
      .sql`select u.id, email, key_hash, prefix from users u join api_keys k on k.user_id = u.id
      where email = ${email}`
  )[0]

describe.each(["/users/register", "/auth/register"])("POST %s", (path) => {
  test("creates a user and returns the key once", async () => {
    const email = newEmail()
    const answer = await register(email, path)
    expect(answer.status).toBe(201)
    expect(answer.headers.get("cache-control")).toBe("no-store")
    const { userId, apiKey } = await readAs(Registered, answer)
    const hash = new Bun.CryptoHasher("sha256").update(apiKey).digest("hex")
    expect(await stored(email)).toEqual({
      id: userId,
      email,
      key_hash: hash,
      prefix: apiKey.slice(0, 7),
    })
  })

  test("accepts a form", async () => {
    const email = newEmail()
    const answer = await sendForm(path, { email })
    expect(answer.status).toBe(201)
    await readAs(Registered, answer)
    expect(await stored(email)).toMatchObject({ email })
  })

  test("rejects a registered address", async () => {
    const email = newEmail()
    await register(email)
    await expectProblem(await register(email, path), { status: 409, code: "EMAIL_TAKEN" })
  })
})

describe("an e-mail address", () => {
  test("is stored trimmed, in its own case", async () => {
    const email = `Ada.${newEmail()}`
    expect((await register(`  ${email}\n`)).status).toBe(201)
    expect(await stored(email)).toMatchObject({ email })
    await expectProblem(await register(` ${email}`), { status: 409, code: "EMAIL_TAKEN" })
  })

  test.each([
    ["ada@example.org", "ADA@Example.ORG"],
    ["äö@example.org", "ÄÖ@example.org"],
    ["я@пример.рф", "Я@ПРИМЕР.РФ"],
  ])("is case-insensitive: %s, %s", async (first, second) => {
    expect((await register(first)).status).toBe(201)
    await expectProblem(await register(second), { status: 409, code: "EMAIL_TAKEN" })
  })

  test.each([["a"], ["😀"]])("may have 255 characters, not 256: %s", async (letter) => {
    const domain = `@${crypto.randomUUID()}.example`
    expect((await register(letter.repeat(255 - domain.length) + domain)).status).toBe(201)
    await expectProblem(await register(letter.repeat(256 - domain.length) + domain), {
      status: 400,
      code: "VALIDATION_ERROR",
      message: /^email: .*255/,
    })
  })

  test.each([
    ["", "nothing"],
    ["   ", "space"],
    ["ada", "no @"],
    ["ada@", "no domain"],
    ["@example.com", "no name"],
    ["ada@example", "no dot"],
    ["ada@example..com", "an empty label"],
    ["ada@example.com.", "an empty end"],
    ["a@b@example.com", "two @"],
    ["Ada <ada@example.com>", "a name beside it"],
    ["a b@example.com", "a space inside"],
    ["ada@exam\nple.com", "a line break"],
    ["ada\0@example.com", "a NUL"],
    ["ada\u0007@example.com", "a control character"],
    ["ada\u200b@example.com", "an invisible character"],
    ["ada\ud800@example.com", "half a character"],
    [7, "a number"],
    [null, "null"],
    [["ada@example.com"], "a list"],
    [{}, "an object"],
  ])("%j is rejected (%s)", async (email) => {
    await expectProblem(await register(email), {
      status: 400,
      code: "VALIDATION_ERROR",
      message: "email: must be an e-mail address of at most 255 characters",
    })
  })

  test("registered concurrently: one user", async () => {
    const email = newEmail()
    const answers = await Promise.all(Array.from({ length: 8 }, () => register(email)))
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(7).fill(409)])
  })
})

describe("POST /auth/login", () => {
  const login = (body: unknown) => service.call("POST", "/auth/login", { body })

  test("returns the key's user", async () => {
    const email = newEmail()
    const { userId, apiKey } = await readAs(Registered, await register(email))
    for (const answer of [
      await login({ apiKey }),
      await login({ apiKey: ` ${apiKey}\n` }),
      await sendForm("/auth/login", { apiKey }),
    ]) {
      expect(answer.status).toBe(200)
      expect(answer.headers.get("cache-control")).toBe("no-store")
      expect(await readAs(LoggedIn, answer)).toEqual({ token: apiKey, userId, email })
    }
  })

  test.each([
    ["an unknown key", "sk_unknown"],
    ["a key in other letters", "SK_UNKNOWN"],
    ["a NUL", "sk_\0"],
    ["a very long one", "s".repeat(8000)],
    ["half a character", "sk_\ud800"],
  ])("rejects %s", async (_, apiKey) => {
    await expectProblem(await login({ apiKey }), { status: 401, code: "INVALID_API_KEY" })
  })

  test.each([
    [{}],
    [{ apiKey: 7 }],
    [{ apiKey: "" }],
    [{ apiKey: " " }],
    [{ apiKey: null }],
    [{ email: "a@b.cc" }],
  ])("names what is wrong with %j", async (body) => {
    await expectProblem(await login(body), { status: 400, code: "VALIDATION_ERROR", message: /^apiKey: / })
  })

  test("never quotes a rejected key", async () => {
    const key = await service.register()
    for (const apiKey of [[key], { key }, `${key} ${key}`]) {
      const answer = await login({ apiKey })
      expect(await answer.text()).not.toContain(key)
    }
  })
})

describe("a key", () => {
  const listAs = (authorization?: string) =>
    fetch(`${service.url}/sessions`, authorization === undefined ? {} : { headers: { authorization } })

  test.each(["Bearer", "bearer", "BEARER", "bEaReR", "Bearer  "])("accepts the scheme %j", async (scheme) => {
    expect((await listAs(`${scheme} ${await service.register()}`)).status).toBe(200)
  })

  test.each([
    ["nothing", undefined],
    ["an empty header", ""],
    ["the scheme alone", "Bearer"],
    ["the scheme and a space", "Bearer "],
    ["another scheme", "Basic YWRhOmFkYQ=="],
    ["no scheme", "sk_unknown"],
    ["no space", "Bearersk_unknown"],
    ["two keys", "Bearer sk_one sk_two"],
    ["two headers in one", "Bearer sk_one, Bearer sk_two"],
    ["a tab", "Bearer\tsk_one"],
  ])("is missing in %s", async (_, header) => {
    const answer = await listAs(header)
    expect(answer.headers.get("www-authenticate")).toBe("Bearer")
    await expectProblem(answer, {
      status: 401,
      code: "UNAUTHORIZED",
      message: "Missing or invalid authorization header. Use: Authorization: Bearer <api-key>",
    })
  })

  test.each([
    ["unknown", () => `sk_${"0".repeat(64)}`],
    ["of another form", () => "x"],
    ["very long", () => "x".repeat(10_000)],
    ["a user's, in other letters", async () => (await service.register()).toUpperCase()],
    ["a user's, cut off", async () => (await service.register()).slice(0, -1)],
    [
      "a user's hash",
      async () => new Bun.CryptoHasher("sha256").update(await service.register()).digest("hex"),
    ],
  ])("is rejected if it is %s", async (_, key) => {
    const answer = await listAs(`Bearer ${await key()}`)
    expect(answer.headers.get("www-authenticate")).toBe('Bearer error="invalid_token"')
    await expectProblem(answer, { status: 401, code: "INVALID_API_KEY" })
  })

  test.each([
    ["GET", "/sessions"],
    ["POST", "/sessions"],
    ["GET", `/sessions/${crypto.randomUUID()}`],
    ["PATCH", `/sessions/${crypto.randomUUID()}`],
    ["DELETE", `/sessions/${crypto.randomUUID()}`],
    ["GET", `/sessions/${crypto.randomUUID()}/messages`],
    ["GET", "/sessions?limit=none"],
    ["POST", "/voice/conversation"],
  ])("is required first by %s %s", async (method, path) => {
    await expectProblem(await service.call(method, path), { status: 401, code: "UNAUTHORIZED" })
    await expectProblem(await service.call(method, path, { key: "sk_unknown" }), {
      status: 401,
      code: "INVALID_API_KEY",
    })
  })
})
