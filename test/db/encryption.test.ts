import { expect, test } from "bun:test"
import { randomBytes } from "node:crypto"
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { ConfigProvider, Effect, Either, Layer, Redacted } from "effect"
import { Settings } from "../../src/config.ts"
import { Encryption } from "../../src/db/encryption.ts"
import { tempFolder } from "../support/temp-folders.ts"

const newKey = () => randomBytes(32).toString("base64")

/** Runs with the encryption of a new process. */
const withKeys = <A, E>(
  variables: Readonly<Record<string, string>>,
  use: (encryption: typeof Encryption.Service) => Effect.Effect<A, E>,
) =>
  Effect.flatMap(Encryption, use).pipe(
    Effect.provide(
      Encryption.layer.pipe(
        Layer.provide(Settings.layer),
        Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(variables))))),
      ),
    ),
    Effect.either,
    Effect.runPromise,
  )

const seal = async (variables: Readonly<Record<string, string>>, text: string, context = "row 1") =>
  Either.getOrThrow(
    await withKeys(variables, (encryption) => encryption.encrypt(Redacted.make(text), context)),
  )

const open = (variables: Readonly<Record<string, string>>, stored: string, context = "row 1") =>
  withKeys(variables, (encryption) => Effect.map(encryption.decrypt(stored, context), Redacted.value))

test("round trip", async () => {
  const key = { ENCRYPTION_KEY: newKey() }
  for (const text of ["", "sk-123", "пароль 🔑", "x".repeat(10_000)]) {
    const stored = await seal(key, text)
    expect(stored).not.toContain("sk-123")
    expect(await open(key, stored)).toEqual(Either.right(text))
  }
  expect(await seal(key, "same")).not.toBe(await seal(key, "same"))
})

test("a moved or changed value is refused", async () => {
  const key = { ENCRYPTION_KEY: newKey() }
  const stored = await seal(key, "sk-123")
  const refused = (found: Either.Either<string, unknown>, reason: string) =>
    expect(Either.flip(found)).toMatchObject({ right: { _tag: "NotDecryptable", reason } })
  refused(await open(key, stored, "row 2"), "value")
  const [form, id, sealed = ""] = stored.split(".")
  const bytes = Buffer.from(sealed, "base64url")
  for (const at of [0, 12, bytes.length - 1]) {
    const changed = Buffer.from(bytes)
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at)
    refused(await open(key, [form, id, changed.toString("base64url")].join(".")), "value")
  }
  for (const short of ["", "AAAA", sealed.slice(0, 30)])
    refused(await open(key, `${form}.${id}.${short}`), "value")
  refused(await open({ ENCRYPTION_KEY: newKey() }, stored), "key")
  refused(await open(key, "sk-123 in clear text"), "key")
  refused(await open(key, ""), "key")
})

test("a new key reads values of the previous one", async () => {
  const [first, second] = [newKey(), newKey()]
  const stored = await seal({ ENCRYPTION_KEY: first }, "sk-123")
  const rotated = { ENCRYPTION_KEY: second, ENCRYPTION_PREVIOUS_KEYS: `${newKey()}, ${first}` }
  expect(await open(rotated, stored)).toEqual(Either.right("sk-123"))
  const isCurrent = (value: string) => withKeys(rotated, (encryption) => encryption.isCurrent(value))
  expect(await isCurrent(stored)).toEqual(Either.right(false))
  const again = await seal(rotated, "sk-123")
  expect(await isCurrent(again)).toEqual(Either.right(true))
  expect(await open({ ENCRYPTION_KEY: second }, again)).toEqual(Either.right("sk-123"))
})

test("without ENCRYPTION_KEY, the first secret makes a key file", async () => {
  const folder = join(tempFolder("encryption"), "data")
  const variables = { DATA_DIR: folder }
  const unknown = `v1.${"0".repeat(16)}.AAAA`
  expect(Either.isLeft(await open(variables, unknown))).toBe(true)
  expect(() => statSync(folder)).toThrow()
  // Two processes at the same time use one key.
  const [one, two] = await Promise.all([seal(variables, "one"), seal(variables, "two")])
  expect(await open(variables, one)).toEqual(Either.right("one"))
  expect(await open(variables, two)).toEqual(Either.right("two"))
  const path = join(folder, "encryption.key")
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(readdirSync(folder)).toEqual(["encryption.key"])
  // The same key by its variable, and the file beside a newer one.
  const given = { ENCRYPTION_KEY: readFileSync(path, "utf8").trim(), DATA_DIR: tempFolder("encryption") }
  expect(await open(given, one)).toEqual(Either.right("one"))
  expect(await open({ ENCRYPTION_KEY: newKey(), ...variables }, two)).toEqual(Either.right("two"))
})

test("a key file that cannot be used", async () => {
  const [damaged, blocked] = [tempFolder("encryption"), tempFolder("encryption")]
  writeFileSync(join(damaged, "encryption.key"), "no key")
  mkdirSync(join(blocked, "encryption.key"))
  for (const DATA_DIR of [damaged, blocked, "/proc/none"]) {
    const failed = await withKeys({ DATA_DIR }, (encryption) => encryption.encrypt(Redacted.make("a"), "b"))
    expect(Either.flip(failed)).toMatchObject({ right: { _tag: "EncryptionUnavailable" } })
  }
})

test.each(["short", newKey().slice(4), `${newKey()}AAAA`, "ä".repeat(43)])(
  "ENCRYPTION_KEY=%s",
  async (ENCRYPTION_KEY) => {
    const failed = await withKeys({ ENCRYPTION_KEY }, () => Effect.void)
    const text = JSON.stringify(failed)
    expect(text).toContain("ENCRYPTION_KEY must be 32 bytes in base64")
    expect(text).not.toContain(ENCRYPTION_KEY)
  },
)
