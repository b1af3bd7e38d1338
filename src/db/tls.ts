import { X509Certificate } from "node:crypto"
import { homedir } from "node:os"
import { join } from "node:path"
import { type ConnectionOptions, createSecureContext } from "node:tls"
import * as FileSystem from "@effect/platform/FileSystem"
import { Effect } from "effect"
import type { TlsParameters } from "./connection-url.ts"
import { DatabaseNotReady } from "./errors.ts"

/** pg's `ssl` option: false for a connection that is not encrypted. */
export type Tls = false | ConnectionOptions

const read = Effect.fnUntraced(function* (parameter: string, path: string) {
  const fs = yield* FileSystem.FileSystem
  return yield* Effect.mapError(
    fs.readFileString(path),
    (error) =>
      new DatabaseNotReady({
        message:
          "reason" in error && error.reason === "NotFound"
            ? `${parameter}: there is no file ${path}. Correct the path in DATABASE_URL.`
            : `The file of ${parameter} in DATABASE_URL cannot be read (${error.message}). Correct the path, or make the file readable for this user.`,
      }),
  )
})

/** A file of several certificates is checked by the first. */
const check = (parameter: string, path: string, use: () => unknown) =>
  Effect.try({
    try: use,
    catch: (error) =>
      new DatabaseNotReady({
        message: `The file ${path} of ${parameter} in DATABASE_URL cannot be used (${error instanceof Error ? error.message : error}). It must be in PEM format.`,
      }),
  })

/** Where libpq looks for the CA if `sslmode` needs one and `sslrootcert` is not given. */
const defaultRoot = join(homedir(), ".postgresql/root.crt")

/**
 * The CAs to check the chain by: a file's, or Bun's own (Mozilla's list, and NODE_EXTRA_CA_CERTS) for `system`. None if the
 * chain is not checked. `require` checks it only if `sslrootcert` is given.
 */
const rootOf = Effect.fnUntraced(function* ({ mode, rootCertificate }: TlsParameters) {
  if (mode === "disable" || mode === "no-verify") return undefined
  const fs = yield* FileSystem.FileSystem
  const isVerified = mode === "verify-ca" || mode === "verify-full"
  const hasDefault = isVerified && (yield* Effect.orElseSucceed(fs.exists(defaultRoot), () => false))
  const path = rootCertificate ?? (hasDefault ? defaultRoot : undefined)
  if (path !== undefined && path !== "system") {
    const ca = yield* read("sslrootcert", path)
    yield* check("sslrootcert", path, () => new X509Certificate(ca))
    return { ca }
  }
  if (mode === "verify-ca") {
    // Any public CA would do for any name: a certificate for another server would pass.
    return yield* new DatabaseNotReady({
      message:
        "sslmode=verify-ca in DATABASE_URL needs the file of a CA: set sslrootcert, or sslmode=verify-full to check the certificate by public CAs.",
    })
  }
  return isVerified ? {} : undefined
})

const clientCertificate = Effect.fnUntraced(function* ({ certificate, key, keyPassword }: TlsParameters) {
  if (certificate === undefined || key === undefined) return {}
  const identity = {
    cert: yield* read("sslcert", certificate),
    key: yield* read("sslkey", key),
    ...(keyPassword === undefined ? {} : { passphrase: keyPassword }),
  }
  yield* check("sslcert", certificate, () => new X509Certificate(identity.cert))
  yield* check("sslkey", key, () => createSecureContext(identity))
  return identity
})

/**
 * The ways to connect, in the order in which libpq tries them. Reads the files that the parameters name; fails with a
 * sentence about the one that cannot be used.
 */
export const tlsOptions = Effect.fnUntraced(function* (parameters: TlsParameters) {
  const root = yield* rootOf(parameters)
  const { mode, minVersion, maxVersion, needsChannelBinding } = parameters
  const tls: Tls = {
    ...(root === undefined ? { rejectUnauthorized: false } : { ...root, rejectUnauthorized: true }),
    ...(root === undefined || mode === "verify-full" ? {} : { checkServerIdentity: () => undefined }),
    ...(minVersion === undefined ? {} : { minVersion }),
    ...(maxVersion === undefined ? {} : { maxVersion }),
    ...(yield* clientCertificate(parameters)),
  }
  const ways: Readonly<Record<TlsParameters["mode"], ReadonlyArray<Tls>>> = {
    disable: [false],
    allow: [false, tls],
    prefer: [tls, false],
    require: [tls],
    "no-verify": [tls],
    "verify-ca": [tls],
    "verify-full": [tls],
  }
  return ways[mode].filter((way) => way !== false || !needsChannelBinding)
})
