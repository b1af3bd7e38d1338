import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { cleanUpProcesses, type ServiceProcess, startProcess } from "../support/process.ts"
import { until } from "../support/turns.ts"
import { Created, expectProblem, Registered, readAs } from "./answers.ts"

/** How long a process may take to start or stop on a busy machine. */
const timeoutMs = 30_000

/** PostgreSQL's message about the missing table, which no response may contain. */
const inside = /relation|does not exist|from sessions|Failed to execute/

describe.each(["production", "development"])("in %s", (environment) => {
  let database: TestDatabase
  let service: ServiceProcess
  let url: string
  let key: string
  beforeAll(async () => {
    database = await makeDatabase()
    const env = { NODE_ENV: environment, DATABASE_URL: database.url, OPENAI_API_KEY: "sk-test" }
    service = startProcess({ env })
    url = `${await service.url()}/api/v1`
    key = (await readAs(Registered, await register("ada@example.com"))).apiKey
  }, timeoutMs)
  afterAll(async () => {
    service.signal("SIGTERM")
    expect(await service.ended).toBe(0)
    await database.drop()
    await cleanUpProcesses()
  }, timeoutMs)

  const register = (email: string) =>
    fetch(`${url}/users/register`, { method: "POST", body: new URLSearchParams({ email }) })
  const call = (method: string, path: string, body?: string) =>
    fetch(`${url}${path}`, {
      method,
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body }),
    })

  describe("a defect", () => {
    beforeEach(async () => {
      await database.sql`alter table sessions rename to elsewhere`
    })
    afterEach(async () => {
      await database.sql`alter table elsewhere rename to sessions`
    })

    test.each([
      ["GET", "/sessions", undefined],
      ["POST", "/sessions", "{}"],
      ["GET", `/sessions/${crypto.randomUUID()}`, undefined],
      ["PATCH", `/sessions/${crypto.randomUUID()}`, '{"title":"x"}'],
      ["DELETE", `/sessions/${crypto.randomUUID()}`, undefined],
      ["GET", `/sessions/${crypto.randomUUID()}/messages`, undefined],
    ])("of %s %s is 500 and logged with its cause", async (method, path, body) => {
      const answer = await call(method, path, body)
      const id = answer.headers.get("x-request-id") ?? ""
      if (environment === "production") {
        await expectProblem(answer, {
          status: 500,
          code: "INTERNAL_SERVER_ERROR",
          message:
            "Something went wrong on our side. Please try again, and report the request id if it persists.",
        })
      } else {
        expect(answer.status).toBe(500)
        expect(await answer.json()).toEqual({
          error: "INTERNAL_SERVER_ERROR",
          message: expect.stringMatching(inside),
          requestId: id,
        })
      }
      await service.says(new RegExp(`${id}[^]*?relation .?"sessions.?" does not exist`))
    })
  })

  test("names an invalid field and does not quote its value", async () => {
    for (const [path, body] of [
      ["/auth/login", `{"apiKey":["${key}"]}`],
      ["/sessions", `{"title":{"${key}":"${key}"}}`],
      ["/sessions", `{"metadata":"${key}"}`],
      ["/sessions", `"${key}"`],
      ["/users/register", `{"email":"${key}"}`],
    ] as const) {
      const message = await expectProblem(await call("POST", path, body), {
        status: 400,
        code: "VALIDATION_ERROR",
        message: /^(apiKey|title|metadata|body|email): must be /,
      })
      expect(message).not.toContain(key)
    }
    for (const query of [`limit=${key}`, `cursor=${key}`]) {
      const message = await expectProblem(await call("GET", `/sessions?${query}`), {
        status: 400,
        code: "VALIDATION_ERROR",
      })
      expect(message).not.toContain(key)
    }
  })

  test("every error has the envelope and CORS headers", async () => {
    for (const [answer, status, code] of [
      [await register("ada@example.com"), 409, "EMAIL_TAKEN"],
      [await call("GET", "/nope"), 404, "NOT_FOUND"],
      [await call("PUT", "/sessions"), 405, "METHOD_NOT_ALLOWED"],
      [await call("POST", "/sessions", "{"), 400, "VALIDATION_ERROR"],
    ] as const) {
      expect(answer.headers.get("access-control-allow-origin")).toBe("*")
      await expectProblem(answer, { status, code })
    }
  })

  test("a client disconnect is not a server error", async () => {
    const { sessionId } = await readAs(Created, await call("POST", "/sessions", "{}"))
    const locks = await database.sql.reserve()
    await locks`begin`
    await locks`select 1 from sessions where id = ${sessionId} for update`
    const leave = new AbortController()
    const left = fetch(`${url}/sessions/${sessionId}`, {
      method: "DELETE",
      headers: { authorization: `Bearer ${key}` },
      signal: leave.signal,
    }).catch((error: Error) => error.name)
    await until(async () => {
      const waiting = await database.sql`select 1 from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'`
      return waiting.length === 1
    }, "the query to wait")
    leave.abort()
    expect(await left).toBe("AbortError")
    await service.says(/request\.completed\b.*DELETE.*\b499\b|request\.completed\b.*\b499\b.*DELETE/)
    await locks`rollback`
    locks.release()
  })

  test("no key is logged", () => {
    expect(`${service.stdout()}${service.stderr()}`).not.toContain(key)
  })
})
