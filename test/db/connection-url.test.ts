import { describe, expect, test } from "bun:test"
import { Duration, Either, Redacted } from "effect"
import { parseConnectionUrl } from "../../src/db/connection-url.ts"

const parse = (url: string) => parseConnectionUrl(Redacted.make(url))
const parsed = (url: string) => Either.getOrThrowWith(parse(url), (sentence) => new Error(sentence))
const sentence = (parameters: string) =>
  Either.match(parse(`postgres://ada:hush@db/voice?${parameters}`), {
    onLeft: (said) => said,
    onRight: () => "accepted",
  })

test.each([
  ["postgres://ada:p%40ss@db.example.com:6432/voice", "db.example.com", 6432, "ada", "p@ss", "voice"],
  ["postgresql://ada@db/voice", "db", undefined, "ada", undefined, "voice"],
  ["postgres://ada@[::1]:5433/voice", "::1", 5433, "ada", undefined, "voice"],
  ["postgres://ada@%2Fvar%2Frun/voice", "/var/run", undefined, "ada", undefined, "voice"],
  ["postgres:///voice?host=/var/run&user=ada&port=5433", "/var/run", 5433, "ada", undefined, "voice"],
  ["postgres://db?user=ada&password=p%26q&dbname=v%20w", "db", undefined, "ada", "p&q", "v w"],
])("%s", (url, host, port, user, password, database) => {
  expect(parsed(url)).toMatchObject({ host, port, user, password, database })
})

describe("sslmode", () => {
  test.each([
    ["", "prefer"],
    ["sslmode=", "prefer"],
    ["sslmode=disable&sslmode=require", "require"],
    ["ssl=true", "require"],
    ["ssl=0", "disable"],
    ["ssl=true&sslmode=verify-full", "verify-full"],
    ["ssl=no-verify", "no-verify"],
    ["sslmode=no-verify", "no-verify"],
    ["sslrootcert=system", "verify-full"],
    ["uselibpqcompat=true&sslmode=require", "require"],
  ])("%p: %s", (parameters, mode) => {
    const found: string = parsed(`postgres://db/voice?${parameters}`).tls.mode
    expect(found).toBe(mode)
  })
})

describe("what providers write", () => {
  test.each([
    ["Neon", "sslmode=require&channel_binding=require&options=endpoint%3Dep-cool-rain-123456"],
    [
      "Supabase, Vercel",
      "sslmode=require&supa=base-pooler.x&pgbouncer=true&workaround=supabase-pooler.vercel",
    ],
    ["Prisma", "schema=public&connection_limit=1&pool_timeout=20&socket_timeout=5&statement_cache_size=0"],
    ["RDS", "sslmode=verify-full&sslrootcert=/etc/rds/global-bundle.pem"],
    ["Azure", "sslmode=require&application_name=voice&connect_timeout=10"],
    ["a cluster", "target_session_attrs=read-write&keepalives=1&keepalives_idle=30&tcp_user_timeout=1000"],
    [
      "libpq's defaults",
      "gssencmode=prefer&client_encoding=UTF8&sslnegotiation=postgres&krbsrvname=postgres",
    ],
  ])("%s", (_, parameters) => {
    expect(sentence(parameters)).toBe("accepted")
  })

  test("unknown parameters are listed, and change nothing", () => {
    const found = parsed("postgres://ada@db/voice?supa=x&max=1&sslmode=require&stream=y")
    const unknown = ["supa", "max", "stream"]
    expect(found).toEqual({ ...parsed("postgres://ada@db/voice?sslmode=require"), unknown })
  })
})

test.each([
  ["sslmode=sometimes", /sslmode.* must be one of disable, allow, prefer, require, verify-ca, verify-full/],
  ["sslmode=Require", /sslmode.* must be one of/],
  ["ssl=maybe", /ssl in DATABASE_URL must be one of/],
  ["sslrootcert=system&sslmode=require", /sslrootcert.* sslmode must be verify-full/],
  ["sslnegotiation=direct", /sslnegotiation.* sslmode must be require/],
  ["sslnegotiation=quick", /sslnegotiation.* must be one of postgres, direct/],
  ["channel_binding=always", /channel_binding.* must be one of/],
  ["channel_binding=require&sslmode=disable", /channel_binding.* needs encryption/],
  ["sslcert=/client.crt", /sslcert.* needs the other of sslcert and sslkey/],
  ["sslkey=/client.key", /sslkey.* needs the other of sslcert and sslkey/],
  ["ssl_min_protocol_version=3", /ssl_min_protocol_version.* must be one of TLSv1/],
  ["connect_timeout=soon", /connect_timeout.* whole number/],
  ["port=hush", /port.* whole number/],
  ["schema=voice", /schema.* is not supported with another value than public/],
  ["target_session_attrs=standby", /target_session_attrs.* is not supported/],
  ["gssencmode=require", /gssencmode.* is not supported/],
  ["hostaddr=192.0.2.1", /hostaddr.* is not supported/],
  ["sslcrl=/crl.pem", /sslcrl.* is not supported/],
  ["service=voice", /service.* is not supported/],
  ["require_auth=scram-sha-256", /require_auth.* is not supported/],
  ["host=db1,db2", /names several hosts/],
])("%s stops the start", (parameters, said) => {
  expect(sentence(parameters)).toMatch(said)
  expect(sentence(parameters)).not.toContain("hush")
})

test.each([
  ["", 2],
  ["connect_timeout=1", 2],
  ["connect_timeout=5", 5],
  ["connect_timeout=0", 10],
  ["connect_timeout=60", 10],
])("the connect timeout of %p is %d s", (parameters, seconds) => {
  expect(Duration.toSeconds(parsed(`postgres://db/voice?${parameters}`).connectTimeout)).toBe(seconds)
})
