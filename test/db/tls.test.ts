/** TLS to the database as libpq has it: every sslmode with every kind of server, compared with psql. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { SqlClient } from "@effect/sql/SqlClient"
import { Cause, ConfigProvider, Context, Effect, Exit, Layer, Option, Scope } from "effect"
import { migrationsOnly } from "../../src/app.ts"
import { type Certificate, selfSigned, signedBy } from "../support/certificates.ts"
import { cleanUpProcesses, mainFile, newFolder, startProcess } from "../support/process.ts"
import { startTlsPostgres, type TlsPostgres } from "../support/tls-postgres.ts"

let postgres: TlsPostgres
let ca: Certificate
let otherCa: Certificate
const kinds: Record<string, Certificate | undefined> = {}
beforeAll(async () => {
  const folder = newFolder()
  postgres = await startTlsPostgres()
  ca = await selfSigned(folder, "ca")
  otherCa = await selfSigned(folder, "other-ca")
  const signed = (name: string, host: string, days?: number) =>
    signedBy(folder, ca, { name, host, ...(days === undefined ? {} : { days }) })
  kinds.good = await signed("good", "DNS:localhost,IP:127.0.0.1")
  kinds["wrong host"] = await signed("elsewhere", "DNS:db.example.com")
  kinds.expired = await signed("expired", "DNS:localhost", -1)
  kinds["self-signed"] = await selfSigned(folder, "self")
  kinds["no TLS"] = undefined
})
afterAll(async () => {
  await postgres.stop()
  await cleanUpProcesses()
})

/** Starts on this URL. `encrypted`, `plain`, or the sentence of the failure. */
const start = async (url: string) => {
  const settings = new Map(Object.entries({ DATABASE_URL: url, LOG_LEVEL: "none", LOG_DIR: "" }))
  const scope = Effect.runSync(Scope.make())
  const ask = Effect.gen(function* () {
    const context = yield* Layer.buildWithScope(migrationsOnly, scope)
    const sql = Context.get(context, SqlClient)
    return yield* sql`select ssl from pg_stat_ssl where pid = pg_backend_pid()`
  })
  const exit = await Effect.runPromiseExit(
    Effect.withConfigProvider(ask, ConfigProvider.fromMap(settings)).pipe(Effect.timeout("5 seconds")),
  )
  await Effect.runPromise(Scope.close(scope, Exit.void))
  if (Exit.isSuccess(exit)) return exit.value[0]?.ssl === true ? "encrypted" : "plain"
  return `${Option.getOrUndefined(Cause.failureOption(exit.cause)) ?? Cause.pretty(exit.cause)}`
}

/** Debian's `psql` is a Perl script that looks for this one. */
const ownPsql = [...new Bun.Glob("usr/lib/postgresql/*/bin/psql").scanSync({ cwd: "/", absolute: true })]
const psqlProgram = ownPsql.at(-1) ?? Bun.which("psql")

/** An empty folder, so that psql finds no certificate of the user. */
const home = newFolder()

/** What psql makes of the URL. */
const psql = async (url: string, program: string) => {
  const ask =
    "select case when ssl then 'encrypted' else 'plain' end from pg_stat_ssl where pid = pg_backend_pid()"
  const child = Bun.spawn([program, "-XAtc", ask, url], {
    env: { HOME: home, PATH: process.env.PATH ?? "" },
    stdout: "pipe",
    stderr: "ignore",
  })
  const said = (await new Response(child.stdout).text()).trim()
  return (await child.exited) === 0 ? said : "fails"
}

const modes = ["", "disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
const parametersOf = (mode: string, root: string | undefined) =>
  new URLSearchParams({
    ...(mode === "" ? {} : { sslmode: mode }),
    ...(root === undefined ? {} : { sslrootcert: root }),
  })

describe.each(["good", "wrong host", "expired", "self-signed", "no TLS"])("a server with %s", (kind) => {
  beforeAll(() => postgres.serve(kinds[kind]))

  test.each([
    ["no root", () => undefined],
    ["its CA", () => ca.certificate],
    ["another CA", () => otherCa.certificate],
  ])("with %s: as psql", async (_, given) => {
    const root = given()
    const outcomes: Record<string, string> = {}
    const expected: Record<string, string> = {}
    for (const mode of modes) {
      const url = postgres.url(`?${parametersOf(mode, root)}`)
      const [found, ofPsql] = await Promise.all([
        start(url),
        psqlProgram === null ? undefined : psql(url, psqlProgram),
      ])
      expect(found).not.toContain("did not answer")
      outcomes[mode] = /^(encrypted|plain)$/.test(found) ? found : "fails"
      if (ofPsql !== undefined) expected[mode] = ofPsql
    }
    if (psqlProgram !== null) expect(outcomes).toEqual(expected)
  })
})

describe("a failure that does not pass ends the start at once", () => {
  test.each([
    [
      "a self-signed certificate",
      "self-signed",
      "?sslmode=verify-full",
      /not signed by a CA that is known here.*set sslrootcert/,
    ],
    [
      "an unknown CA",
      "good",
      "?sslmode=verify-full",
      /not signed by a CA that is known here.*set sslrootcert/,
    ],
    [
      "an expired certificate",
      "expired",
      "?sslmode=verify-full&sslrootcert=CA",
      /has expired.*renew the certificate/,
    ],
    [
      "another host's certificate",
      "wrong host",
      "?sslmode=verify-full&sslrootcert=CA",
      /for another host name.*sslmode=verify-ca/,
    ],
    [
      "no TLS",
      "no TLS",
      "?sslmode=require",
      /does not offer TLS.*turn TLS on at the server.*set sslmode=disable/,
    ],
  ])("%s", async (_, kind, parameters, sentence) => {
    await postgres.serve(kinds[kind])
    expect(await start(postgres.url(parameters.replace("CA", ca.certificate)))).toMatch(sentence)
  })

  test.each([
    ["encrypted connections only", "hostssl", "?sslmode=disable", /no pg_hba.conf entry.*sslmode=require/],
    [
      "unencrypted connections only",
      "hostnossl",
      "?sslmode=require",
      /no pg_hba.conf entry.*sslmode=disable/,
    ],
  ] as const)("a server that takes %s", async (_, clients, parameters, sentence) => {
    await postgres.serve(kinds.good, clients)
    expect(await start(postgres.url(parameters))).toMatch(sentence)
  })

  test.each([
    ["a wrong password", { password: "hush" }, /password authentication failed.*check the user, password/],
    ["no password", { password: "" }, /asks for a password.*set one in DATABASE_URL/],
  ])("%s", async (_, part, sentence) => {
    await postgres.serve(kinds.good)
    const said = await start(postgres.url("", part))
    expect(said).toMatch(sentence)
    expect(said).not.toContain("hush")
  })

  test.each([
    ["a web server", "HTTP/1.1 400 Bad Request\r\n\r\n"],
    ["a web server with TLS", "\x15\x03\x01\x00\x02\x02\x46"],
    ["a MySQL server", "J\0\0\0\n8.0.36"],
  ])("%s on that port", async (_, answer) => {
    const other = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket) => void socket.write(answer) },
    })
    for (const parameters of ["", "?sslmode=disable", "?sslmode=require"]) {
      const said = await start(`postgres://app@127.0.0.1:${other.port}/app${parameters}`)
      expect(said).toMatch(/not PostgreSQL.*check the host and the port/)
    }
    other.stop(true)
  })
})

describe("a file that cannot be used ends the start", () => {
  test.each([
    [
      "a missing CA",
      "?sslmode=require&sslrootcert=/no/ca.crt",
      /sslrootcert: there is no file \/no\/ca\.crt\. Correct/,
    ],
    [
      "no certificate",
      "?sslmode=require&sslrootcert=/etc/hostname",
      /sslrootcert in DATABASE_URL cannot be used/,
    ],
    [
      "a missing client key",
      "?sslmode=require&sslcert=CA&sslkey=/no/key",
      /sslkey: there is no file \/no\/key\. Correct/,
    ],
    ["no CA to verify by", "?sslmode=verify-ca", /verify-ca in DATABASE_URL needs the file of a CA/],
  ])("%s", async (_, parameters, sentence) => {
    await postgres.serve(kinds.good)
    expect(await start(postgres.url(parameters.replace("CA", ca.certificate)))).toMatch(sentence)
  })
})

test("NODE_EXTRA_CA_CERTS is trusted by verify-full", async () => {
  await postgres.serve(kinds.good)
  const migrate = (env: Record<string, string>) =>
    startProcess({
      args: [mainFile, "migrate"],
      env: { DATABASE_URL: postgres.url("?sslmode=verify-full"), ...env },
    }).ended
  expect(await migrate({})).toBe(1)
  expect(await migrate({ NODE_EXTRA_CA_CERTS: ca.certificate })).toBe(0)
})

test("a certificate that expires while the service runs is named in the log", async () => {
  await postgres.serve(kinds.good)
  const service = startProcess({
    env: {
      DATABASE_URL: postgres.url(`?sslmode=verify-full&sslrootcert=${ca.certificate}`),
      NODE_ENV: "production",
      OFFLINE_ENGINES: "on",
    },
  })
  const url = `${await service.url()}/api/v1/auth/login`
  const login = () =>
    fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ apiKey: "sk_unknown" }),
    }).then(({ status }) => status)
  expect(await login()).toBe(401)
  await postgres.serve(kinds.expired)
  await postgres.admin`select pg_terminate_backend(pid) from pg_stat_activity where datname = 'app'`
  expect(await login()).toBe(503)
  service.signal("SIGTERM")
  expect(await service.ended).toBe(0)
  expect(service.records().filter(({ event }) => event === "request.failed")).toMatchObject([
    { code: "DATABASE_UNAVAILABLE", reason: expect.stringContaining("certificate has expired") },
  ])
})

test("channel binding is used if it is required", async () => {
  await postgres.serve(kinds.good)
  expect(await start(postgres.url("?sslmode=require&channel_binding=require"))).toBe("encrypted")
  expect(await start(postgres.url("?channel_binding=require"))).toBe("encrypted")
})

test.each([
  ["encrypted", "hostssl", ["", "?sslmode=allow", "?sslmode=prefer", "?sslmode=require"]],
  ["plain", "hostnossl", ["", "?sslmode=allow", "?sslmode=prefer", "?sslmode=disable"]],
] as const)("the way that works is found: %s, for %s rules", async (way, clients, all) => {
  await postgres.serve(kinds.good, clients)
  for (const parameters of all) expect(await start(postgres.url(parameters))).toBe(way)
})
