import { Duration, Either, Redacted } from "effect"

const sslModes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full", "no-verify"] as const
const tlsVersions = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"] as const

/** What a URL says about encryption, by libpq's names. `no-verify` is pg's own: `require` that never verifies. */
export interface TlsParameters {
  readonly mode: (typeof sslModes)[number]
  /** The path of a file, or `system`. */
  readonly rootCertificate: string | undefined
  readonly certificate: string | undefined
  readonly key: string | undefined
  readonly keyPassword: string | undefined
  readonly minVersion: (typeof tlsVersions)[number] | undefined
  readonly maxVersion: (typeof tlsVersions)[number] | undefined
  /** The connection begins with TLS, without a question to the server before it (PostgreSQL 17). */
  readonly isDirect: boolean
  readonly needsChannelBinding: boolean
}

export interface ConnectionParameters {
  /** A name, an address, or the folder of a Unix socket. Undefined: pg's default, `localhost`. */
  readonly host: string | undefined
  readonly port: number | undefined
  readonly user: string | undefined
  readonly password: string | undefined
  readonly database: string | undefined
  readonly applicationName: string
  readonly options: string | undefined
  /** How long to wait for a new or a free connection. */
  readonly connectTimeout: Duration.Duration
  readonly tls: TlsParameters
  /** The names of parameters that this service does not know. */
  readonly unknown: ReadonlyArray<string>
}

/** The default, and the limits of `connect_timeout`, in seconds. A statement has 10 s altogether (postgres.ts). */
const timeouts = { least: 2, most: 10 }

/** Parameters that this service reads below. */
const known = [
  "application_name",
  "channel_binding",
  "connect_timeout",
  "dbname",
  "host",
  "options",
  "password",
  "port",
  "ssl",
  "ssl_max_protocol_version",
  "ssl_min_protocol_version",
  "sslcert",
  "sslkey",
  "sslmode",
  "sslnegotiation",
  "sslpassword",
  "sslrootcert",
  "user",
]

/** Parameters of libpq, Prisma and pg that change nothing that this service relies on. */
const harmless = [
  "client_encoding",
  "connection_limit",
  "fallback_application_name",
  "gssdelegation",
  "gsslib",
  "keepalives",
  "keepalives_count",
  "keepalives_idle",
  "keepalives_interval",
  "krbsrvname",
  "load_balance_hosts",
  "pgbouncer",
  "pool_timeout",
  "socket_timeout",
  "sslcompression",
  "sslsni",
  "statement_cache_size",
  "tcp_user_timeout",
  "uselibpqcompat",
]

/**
 * Parameters that choose another server or schema, or protect the connection, with the values that need nothing. The
 * service would do something else than was asked for if it ignored another value.
 */
const supportedValues: Readonly<Record<string, ReadonlyArray<string>>> = {
  gssencmode: ["disable", "prefer"],
  hostaddr: [],
  passfile: [],
  replication: ["false", "off", "no", "0"],
  require_auth: [],
  requirepeer: [],
  schema: ["public"],
  service: [],
  servicefile: [],
  sslaccept: ["accept_invalid_certs"],
  sslcertmode: ["allow", "disable"],
  sslcrl: [],
  sslcrldir: [],
  sslidentity: [],
  target_session_attrs: ["any", "read-write", "primary", "prefer-standby"],
}

/** JDBC's and pg's `ssl`. */
const sslWords: Readonly<Record<string, TlsParameters["mode"]>> = {
  true: "require",
  "1": "require",
  require: "require",
  "no-verify": "no-verify",
  false: "disable",
  "0": "disable",
  disable: "disable",
}

/** The sentences quote no value: it may be a part of a password. */
const wrong = (name: string, problem: string) =>
  Either.left(`The parameter ${name} in DATABASE_URL ${problem}.`)

const mustBeOneOf = (name: string, words: ReadonlyArray<string>) =>
  wrong(name, `must be one of ${words.join(", ")}`)

type Given = Readonly<Record<string, string | undefined>>

/** Undefined if the parameter is not given. */
const word = <const A extends string>(given: Given, name: string, words: ReadonlyArray<A>) => {
  const value = given[name]
  if (value === undefined) return Either.right(undefined)
  const found = words.find((each) => each === value)
  return found === undefined ? mustBeOneOf(name, words) : Either.right(found)
}

/** `ssl` is older and says less. The default is libpq's, but `system` would be pointless without a check. */
const modeOf = (given: Given) =>
  Either.flatMap(word(given, "sslmode", sslModes), (mode) => {
    const { ssl } = given
    if (mode !== undefined) return Either.right(mode)
    if (ssl === undefined) {
      return Either.right<TlsParameters["mode"]>(given.sslrootcert === "system" ? "verify-full" : "prefer")
    }
    const found = sslWords[ssl]
    return found === undefined ? mustBeOneOf("ssl", Object.keys(sslWords)) : Either.right(found)
  })

const encrypted: ReadonlyArray<TlsParameters["mode"]> = ["require", "verify-ca", "verify-full", "no-verify"]

const tlsOf = (given: Given): Either.Either<TlsParameters, string> =>
  Either.gen(function* () {
    const mode = yield* modeOf(given)
    if (given.sslrootcert === "system" && mode !== "verify-full") {
      return yield* wrong("sslrootcert", "is system, so sslmode must be verify-full")
    }
    const negotiation = yield* word(given, "sslnegotiation", ["postgres", "direct"])
    if (negotiation === "direct" && !encrypted.includes(mode)) {
      return yield* wrong("sslnegotiation", "is direct, so sslmode must be require, verify-ca or verify-full")
    }
    const binding = yield* word(given, "channel_binding", ["disable", "prefer", "require"])
    if (binding === "require" && mode === "disable") {
      return yield* wrong("channel_binding", "needs encryption, but sslmode is disable")
    }
    if ((given.sslcert === undefined) !== (given.sslkey === undefined)) {
      return yield* wrong(
        given.sslcert === undefined ? "sslkey" : "sslcert",
        "needs the other of sslcert and sslkey",
      )
    }
    return {
      mode,
      rootCertificate: given.sslrootcert,
      certificate: given.sslcert,
      key: given.sslkey,
      keyPassword: given.sslpassword,
      minVersion: yield* word(given, "ssl_min_protocol_version", tlsVersions),
      maxVersion: yield* word(given, "ssl_max_protocol_version", tlsVersions),
      isDirect: negotiation === "direct",
      needsChannelBinding: binding === "require",
    }
  })

/** In libpq, 0 and less is no limit. */
const timeoutOf = ({ connect_timeout }: Given) => {
  if (connect_timeout === undefined) return Either.right(Duration.seconds(timeouts.least))
  const seconds = Number(connect_timeout)
  if (!Number.isInteger(seconds)) return wrong("connect_timeout", "must be a whole number of seconds")
  const wanted = seconds <= 0 ? timeouts.most : seconds
  return Either.right(Duration.seconds(Math.min(Math.max(wanted, timeouts.least), timeouts.most)))
}

const portOf = (text: string | undefined) => {
  if (text === undefined) return Either.right(undefined)
  const port = Number(text)
  return Number.isInteger(port) && port > 0 && port < 65_536
    ? Either.right(port)
    : wrong("port", "must be a whole number from 1 to 65535")
}

/** Undefined in place of "", which stands for a part that is left out. */
const part = (encoded: string) => (encoded === "" ? undefined : decodeURIComponent(encoded))

/**
 * The parts of a valid DATABASE_URL (config/checks.ts), with its parameters as libpq reads them. pg's own reading
 * differs: it takes `require` for `verify-full`, and every parameter for an option of its own. Fails with a sentence that
 * names the parameter.
 */
export const parseConnectionUrl = (url: Redacted.Redacted): Either.Either<ConnectionParameters, string> =>
  Either.gen(function* () {
    const { hostname, port, username, password, pathname, searchParams } = new URL(Redacted.value(url))
    // As in libpq, the last of several counts.
    const given: Given = Object.fromEntries([...searchParams].filter(([, value]) => value !== ""))
    for (const [name, values] of Object.entries(supportedValues)) {
      const value = given[name]
      if (value === undefined || values.includes(value)) continue
      const others = values.length === 0 ? "" : ` with another value than ${values.join(", ")}`
      return yield* wrong(name, `is not supported${others}: remove it`)
    }
    const host = given.host ?? part(hostname)
    if (host?.includes(",")) {
      return yield* Either.left(
        "DATABASE_URL names several hosts: name one, or the address of a proxy in front of them.",
      )
    }
    return {
      // An IPv6 address is in brackets in a URL only.
      host: host?.replace(/^\[(.*)\]$/, "$1"),
      port: yield* portOf(given.port ?? part(port)),
      user: given.user ?? part(username),
      password: given.password ?? part(password),
      database: given.dbname ?? part(pathname.slice(1)),
      applicationName: given.application_name ?? "voice-agent",
      options: given.options,
      connectTimeout: yield* timeoutOf(given),
      tls: yield* tlsOf(given),
      unknown: Object.keys(given).filter(
        (name) => ![...known, ...harmless, ...Object.keys(supportedValues)].includes(name),
      ),
    }
  })
