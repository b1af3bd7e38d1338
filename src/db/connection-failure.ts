import type { SqlError } from "@effect/sql/SqlError"
import { isDatabaseAway, notPostgres, sqlState } from "./errors.ts"

/** Why no connection could be opened: `problem` is a clause, `advice` a sentence. Neither quotes a secret. */
export interface ConnectionFailure {
  readonly problem: string
  readonly advice: string
  /** It may pass by waiting. */
  readonly mayPass: boolean
}

interface Explanation {
  readonly problem?: string
  readonly advice: string
}

const unknownCa: Explanation = {
  problem: "its certificate is not signed by a CA that is known here",
  advice:
    "Set sslrootcert in DATABASE_URL to the file of its CA, or sslmode=require without sslrootcert to encrypt without checking the certificate.",
}

const wrongName: Explanation = {
  problem: "its certificate is for another host name",
  advice:
    "Use a name of the certificate as the host in DATABASE_URL, or sslmode=verify-ca with sslrootcert to accept every name.",
}

/** The codes are OpenSSL's names for what X509_verify_cert found; Node and Bun share them. */
const certificateProblems: Readonly<Record<string, Explanation>> = {
  CERT_HAS_EXPIRED: {
    problem: "its certificate, or that of its CA, has expired",
    advice: "Renew the certificate on the database server.",
  },
  CERT_NOT_YET_VALID: {
    problem: "its certificate is not valid yet",
    advice: "Check the clocks of both machines.",
  },
  CERT_REVOKED: {
    problem: "its certificate is revoked",
    advice: "Renew the certificate on the database server.",
  },
  CERT_SIGNATURE_FAILURE: unknownCa,
  CERT_UNTRUSTED: unknownCa,
  DEPTH_ZERO_SELF_SIGNED_CERT: unknownCa,
  SELF_SIGNED_CERT_IN_CHAIN: unknownCa,
  UNABLE_TO_GET_ISSUER_CERT: unknownCa,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unknownCa,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: unknownCa,
  ERR_TLS_CERT_ALTNAME_INVALID: wrongName,
  HOSTNAME_MISMATCH: wrongName,
}

/** The server's own refusals. https://www.postgresql.org/docs/current/errcodes-appendix.html */
const refusals: Readonly<Record<string, Explanation>> = {
  "28000": {
    advice:
      "Check the user in DATABASE_URL and the server's pg_hba.conf. A server that takes encrypted connections only needs sslmode=require, one that takes others only sslmode=disable.",
  },
  "3D000": { advice: "Create the database, or correct its name in DATABASE_URL." },
}

/** pg has no code for these. */
const messages: ReadonlyArray<readonly [RegExp, Explanation]> = [
  [
    /^The server does not support SSL connections/,
    {
      problem: "it does not offer TLS",
      advice:
        "Turn TLS on at the server (ssl=on in its postgresql.conf) or, on a network that you trust, set sslmode=disable in DATABASE_URL.",
    },
  ],
  [new RegExp(`^${notPostgres}`), { advice: "Check the host and the port in DATABASE_URL." }],
  [/^SASL: .*password must be a/, { problem: "it asks for a password", advice: "Set one in DATABASE_URL." }],
]

const otherwise: Explanation = {
  advice: "Check the user, password and database name in DATABASE_URL.",
}

const handshake: Explanation = {
  advice:
    "The TLS handshake failed: check sslcert, sslkey and the TLS versions in DATABASE_URL, and the log of the server.",
}

const away: Explanation = { advice: "Check DATABASE_URL and that PostgreSQL runs there." }

const codeOf = ({ cause }: SqlError) =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : ""

const explain = (error: SqlError, message: string): Explanation => {
  const code = codeOf(error)
  const found =
    certificateProblems[code] ??
    refusals[sqlState(error) ?? ""] ??
    messages.find(([pattern]) => pattern.test(message))?.[1]
  if (found !== undefined) return found
  if (isDatabaseAway(error)) return away
  return /SSL|TLS|CERT/.test(code) ? handshake : otherwise
}

/** What a failure to connect means. */
export const connectionFailure = (error: SqlError): ConnectionFailure => {
  const message = error.cause instanceof Error ? error.cause.message || error.cause.name : error.message
  const { problem, advice } = explain(error, message)
  return {
    problem: problem === undefined || problem === message ? message : `${problem}: ${message}`,
    advice,
    mayPass: isDatabaseAway(error),
  }
}
