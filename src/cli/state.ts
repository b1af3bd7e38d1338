import { chmod, mkdir, rename } from "node:fs/promises"
import { homedir } from "node:os"
import { dirname, join } from "node:path"
import { Effect, Option, Schema } from "effect"
import { sha256 } from "../hash.ts"
import { CommandFailed } from "./exit-code.ts"

/** Stored per service between two commands. */
const Account = Schema.Struct({
  apiKey: Schema.optional(Schema.String),
  email: Schema.optional(Schema.String),
  sessionId: Schema.optional(Schema.String),
  /** SHA-256 of the key that the session was used with. None: that of the stored key. */
  sessionKey: Schema.optional(Schema.String),
})
export type Account = typeof Account.Type

/** By the service's URL. */
const State = Schema.parseJson(
  Schema.Struct({ services: Schema.Record({ key: Schema.String, value: Account }) }),
)

/** By the XDG Base Directory Specification. */
const path = () =>
  join(process.env.XDG_STATE_HOME || join(homedir(), ".local/state"), "voice-agent", "state.json")

/** A missing or unreadable file counts as empty. */
const read = Effect.tryPromise(() => Bun.file(path()).text()).pipe(
  Effect.flatMap(Schema.decode(State)),
  Effect.orElseSucceed((): typeof State.Type => ({ services: {} })),
)

export const recall = (url: string) =>
  Effect.map(
    read,
    ({ services }): Account => Option.getOrElse(Option.fromNullable(services[url]), () => ({})),
  )

/** Written atomically, and readable by this user only, because it contains a key. */
/** The session to continue with a key. The service would refuse another user's. */
export const sessionOf = ({ sessionId, sessionKey, apiKey: stored }: Account, apiKey: string) => {
  const isOwn = sessionKey === undefined ? stored === apiKey : sessionKey === sha256(apiKey)
  return isOwn ? sessionId : undefined
}

export const rememberSession = (url: string, apiKey: string, sessionId: string) =>
  Effect.flatMap(recall(url), (known) => remember(url, { ...known, sessionId, sessionKey: sha256(apiKey) }))

export const remember = (url: string, account: Account) =>
  Effect.gen(function* () {
    const { services } = yield* read
    const text = yield* Schema.encode(State)({ services: { ...services, [url]: account } })
    yield* Effect.tryPromise(async () => {
      await mkdir(dirname(path()), { recursive: true, mode: 0o700 })
      const partial = `${path()}.${process.pid}`
      await Bun.write(partial, text, { mode: 0o600 })
      await chmod(partial, 0o600)
      await rename(partial, path())
    })
  }).pipe(
    Effect.mapError(
      () =>
        new CommandFailed({ message: `${path()} cannot be written. Set XDG_STATE_HOME to another folder.` }),
    ),
  )
