import { createCipheriv, createDecipheriv, randomBytes, randomUUID } from "node:crypto"
import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { Context, Effect, Layer, Option, Redacted, Schema } from "effect"
import { parseEncryptionKey } from "../config/encryption-key.ts"
import { Settings } from "../config.ts"
import { sha256 } from "../hash.ts"

/** The key cannot be read or made. */
export class EncryptionUnavailable extends Schema.TaggedError<EncryptionUnavailable>()(
  "EncryptionUnavailable",
  { reason: Schema.String },
) {}

/** A stored value cannot be decrypted. `key`: with none of the keys of this process; `value`: it was changed. */
export class NotDecryptable extends Schema.TaggedError<NotDecryptable>()("NotDecryptable", {
  reason: Schema.Literal("key", "value"),
}) {}

/** Bytes, as NIST SP 800-38D recommends for GCM. A random nonce is safe for 2^32 values with one key. */
const nonceBytes = 12
const tagBytes = 16

interface Key {
  /** Of 64 bits. It names the key, and tells nothing of it. */
  readonly id: string
  readonly bytes: Uint8Array
}

const keyOf = (bytes: Uint8Array): Key => ({
  id: sha256(Buffer.concat([Buffer.from("voice-agent key id\0"), bytes])).slice(0, 16),
  bytes,
})

const version = "v1"

const seal = ({ id, bytes }: Key, text: string, context: string): string => {
  const nonce = randomBytes(nonceBytes)
  const cipher = createCipheriv("aes-256-gcm", bytes, nonce).setAAD(Buffer.from(context))
  const sealed = Buffer.concat([nonce, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()])
  return [version, id, sealed.toString("base64url")].join(".")
}

const open = ({ bytes }: Key, sealed: Buffer, context: string): string => {
  const end = sealed.length - tagBytes
  const decipher = createDecipheriv("aes-256-gcm", bytes, sealed.subarray(0, nonceBytes))
    .setAAD(Buffer.from(context))
    .setAuthTag(sealed.subarray(end))
  return Buffer.concat([decipher.update(sealed.subarray(nonceBytes, end)), decipher.final()]).toString()
}

const readKey = (path: string): Key =>
  Option.match(parseEncryptionKey(readFileSync(path, "utf8").trim()), {
    onNone: () => {
      throw new Error(`${path} does not contain 32 bytes in base64`)
    },
    onSome: keyOf,
  })

const hasCode = (error: unknown, code: string) =>
  error instanceof Error && "code" in error && error.code === code

/** Makes the key file. It has its final name only when it is complete, and never replaces another one. */
const makeKey = (path: string): void => {
  mkdirSync(dirname(path), { recursive: true })
  const partial = `${path}.${randomUUID()}`
  const file = openSync(partial, "wx", 0o600)
  try {
    writeSync(file, `${randomBytes(32).toString("base64")}\n`)
    fsyncSync(file)
    linkSync(partial, path)
  } catch (error) {
    // Another process made it first.
    if (!hasCode(error, "EEXIST")) throw error
  } finally {
    closeSync(file)
    rmSync(partial)
  }
}

/** Throws if the file is there and cannot be read. */
const existingKey = (path: string): Option.Option<Key> => {
  try {
    return Option.some(readKey(path))
  } catch (error) {
    if (hasCode(error, "ENOENT")) return Option.none()
    throw error
  }
}

const obtainKey = (path: string): Key =>
  Option.getOrElse(existingKey(path), () => {
    makeKey(path)
    return readKey(path)
  })

const withFile = <A>(use: () => A) =>
  Effect.try({
    try: use,
    catch: (error) =>
      new EncryptionUnavailable({
        reason: `${error instanceof Error ? error.message : error}. Set ENCRYPTION_KEY, or make DATA_DIR writable.`,
      }),
  })

/** The keys of the configuration and of the key file. The file is not made. */
const keysOf = ({ encryptionKey, encryptionPreviousKeys, dataDir }: Settings["Type"]) => {
  const path = join(resolve(dataDir), "encryption.key")
  const given = Option.map(encryptionKey, (key) => keyOf(Redacted.value(key)))
  const previous = Redacted.value(encryptionPreviousKeys).map(keyOf)
  const all = Effect.map(
    withFile(() => existingKey(path)),
    (own) => [...Option.toArray(given), ...previous, ...Option.toArray(own)],
  )
  return { path, given, all }
}

/** The names of this process's keys, as stored values have them between their first two dots. */
export const keyIds = (
  settings: Settings["Type"],
): Effect.Effect<ReadonlyArray<string>, EncryptionUnavailable> =>
  Effect.map(keysOf(settings).all, (keys) => keys.map(({ id }) => id))

/**
 * Encrypts the secrets that users store, with AES-256-GCM. `context` says what a value is for, such as the name of its row:
 * a value that is moved to another place cannot be decrypted there. A stored value names its key, so that a new key can be
 * added while values of an earlier one are still in use.
 */
export class Encryption extends Context.Tag("voice-agent/Encryption")<
  Encryption,
  {
    readonly encrypt: (
      secret: Redacted.Redacted,
      context: string,
    ) => Effect.Effect<string, EncryptionUnavailable>
    readonly decrypt: (
      stored: string,
      context: string,
    ) => Effect.Effect<Redacted.Redacted, NotDecryptable | EncryptionUnavailable>
    /** False for a value of an earlier key: encrypt it again. */
    readonly isCurrent: (stored: string) => Effect.Effect<boolean, EncryptionUnavailable>
  }
>() {
  static readonly layer = Layer.effect(
    Encryption,
    Effect.map(Settings, (settings) => {
      const { path, given, all: keys } = keysOf(settings)
      // The file is made for the first secret: a service that stores none needs no writable DATA_DIR.
      const currentKey = Option.match(given, {
        onNone: () => withFile(() => obtainKey(path)),
        onSome: Effect.succeed,
      })

      const encrypt = Effect.fn("Encryption.encrypt")((secret: Redacted.Redacted, context: string) =>
        Effect.map(currentKey, (key) => seal(key, Redacted.value(secret), context)),
      )

      const decrypt = Effect.fn("Encryption.decrypt")(function* (stored: string, context: string) {
        const [form, id, sealed = ""] = stored.split(".")
        const key = (yield* keys).find((key) => key.id === id)
        if (form !== version || key === undefined) return yield* new NotDecryptable({ reason: "key" })
        return yield* Effect.try({
          try: () => Redacted.make(open(key, Buffer.from(sealed, "base64url"), context)),
          catch: () => new NotDecryptable({ reason: "value" }),
        })
      })

      const isCurrent = Effect.fn("Encryption.isCurrent")((stored: string) =>
        Effect.map(currentKey, ({ id }) => stored.split(".")[1] === id),
      )

      return { encrypt, decrypt, isCurrent }
    }),
  )
}

/**
 * Decrypts a stored value, and logs why it cannot. `renew` stores a value of an earlier key as it is encrypted with the newest
 * one. If that fails, the secret is read all the same, and renewed the next time.
 */
export const readAndRenew = Effect.fn("Encryption.readAndRenew")(
  function* <E>(
    { encrypt, decrypt, isCurrent }: Encryption["Type"],
    { stored, context }: { readonly stored: string; readonly context: string },
    renew: (renewed: string) => Effect.Effect<unknown, E>,
  ) {
    const secret = yield* decrypt(stored, context)
    if (!(yield* isCurrent(stored))) yield* Effect.ignore(Effect.flatMap(encrypt(secret, context), renew))
    return secret
  },
  Effect.tapErrorTag("NotDecryptable", ({ reason }) =>
    Effect.annotateLogs(Effect.logError("secret.not_decryptable"), { reason }),
  ),
  Effect.tapErrorTag("EncryptionUnavailable", ({ reason }) =>
    Effect.annotateLogs(Effect.logWarning("secret.unavailable"), { reason }),
  ),
)
