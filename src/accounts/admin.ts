import { Array as Arr, Effect, type Option, Redacted, Schema } from "effect"
import type { DatabaseError } from "../db/errors.ts"
import { Keys, type NewApiKey } from "./keys.ts"
import {
  ApiKey,
  type ApiKeyNotFound,
  type EmailTaken,
  type InvalidApiKey,
  type TooManyApiKeys,
  type User,
  type UserNotFound,
} from "./model.ts"
import { Users } from "./users.ts"

/** What a command is given. */
export interface Asked {
  readonly email: string
  readonly keyId: Option.Option<string>
  readonly name: Option.Option<string>
  /** Prints one answer: lines for a person, or an object for a machine. */
  readonly print: (lines: ReadonlyArray<string>, object: object) => Effect.Effect<void>
}

const find = ({ email }: Asked) => Effect.flatMap(Users, (users) => users.find(email))

const create = Effect.fn("users create")(function* ({ email, print }: Asked) {
  const { userId, keyId, apiKey } = yield* Effect.flatMap(Users, (users) => users.register(email))
  const key = Redacted.value(apiKey)
  yield* print([`User ${email} (${userId})`, `API key, shown this once: ${key}`], {
    userId,
    email,
    keyId,
    apiKey: key,
  })
})

const stateOf = ({ expiresAt, revokedAt }: ApiKey) =>
  [
    ...(expiresAt === null ? [] : [`expires ${expiresAt.toISOString()}`]),
    ...(revokedAt === null ? [] : [`revoked from ${revokedAt.toISOString()}`]),
  ].join(", ")

const lineOf = (key: ApiKey) => {
  const used = key.lastUsedAt === null ? "never used" : `used ${key.lastUsedAt.toISOString()}`
  return `  ${key.id}  ${key.prefix ?? "sk_"}…  ${[key.name, used, stateOf(key)].filter((part) => part !== "").join(", ")}`
}

const encodeKey = Schema.encodeSync(ApiKey)

const list = Effect.fn("users list")(function* ({ print }: Asked) {
  const users = yield* Users
  const keys = yield* Keys
  const printUser = ({ id, email, createdAt }: User) =>
    Effect.flatMap(keys.list(id), (own) =>
      print([`${email}  ${id}  since ${createdAt.toISOString()}`, ...own.map(lineOf)], {
        userId: id,
        email,
        createdAt,
        keys: own.map((key) => encodeKey(key)),
      }),
    )
  let page = yield* users.list("")
  while (Arr.isNonEmptyReadonlyArray(page)) {
    yield* Effect.forEach(page, printUser, { discard: true })
    page = yield* users.list(Arr.lastNonEmpty(page).email)
  }
})

const printNew = ({ print, email }: Asked, userId: string, { id, name, apiKey }: NewApiKey) =>
  print([`User ${email} (${userId})`, `API key "${name}", shown this once: ${Redacted.value(apiKey)}`], {
    userId,
    email,
    keyId: id,
    name,
    apiKey: Redacted.value(apiKey),
  })

const rotate = Effect.fn("users rotate")(function* (asked: Asked) {
  const user = yield* find(asked)
  const keys = yield* Keys
  yield* printNew(asked, user.id, yield* keys.replace(user.id, asked.name))
})

const revoke = Effect.fn("users revoke")(function* (asked: Asked) {
  const { id, email } = yield* find(asked)
  const revoked = yield* Effect.flatMap(Keys, (keys) => keys.withdraw(id, asked.keyId))
  yield* asked.print([`Revoked ${revoked} API ${revoked === 1 ? "key" : "keys"} of ${email}.`], {
    userId: id,
    email,
    revoked,
  })
})

const remove = Effect.fn("users delete")(function* (asked: Asked) {
  const { id, email } = yield* find(asked)
  yield* Effect.flatMap(Users, (users) => users.remove(id))
  yield* asked.print([`Deleted ${email} (${id}) with all that was stored of them.`], { userId: id, email })
})

export type Failure =
  | EmailTaken
  | UserNotFound
  | InvalidApiKey
  | ApiKeyNotFound
  | TooManyApiKeys
  | DatabaseError

/** What the operator is told of each failure. */
export const sentences: Record<Failure["_tag"], string> = {
  EmailTaken: "This e-mail address is registered already: users rotate gives its user a new key.",
  UserNotFound: "There is no user with this e-mail address.",
  InvalidApiKey: "This user was deleted just now.",
  ApiKeyNotFound: "This user has no such API key, or it has ended already: users list shows them.",
  TooManyApiKeys: "This user has too many API keys already: revoke one first.",
  DatabaseUnavailable: "The database is not available at the moment.",
  ConstraintViolated: "This conflicts with what is stored.",
}

interface Command {
  readonly run: (asked: Asked) => Effect.Effect<void, Failure, Users | Keys>
  /** How many words may follow its name. */
  readonly words: readonly [least: number, most: number]
  /** Whether it takes --name. */
  readonly named: boolean
}

/** What the operator can do with users, by its name. */
export const commands: Readonly<Record<string, Command>> = {
  create: { run: create, words: [1, 1], named: false },
  list: { run: list, words: [0, 0], named: false },
  rotate: { run: rotate, words: [1, 1], named: true },
  revoke: { run: revoke, words: [1, 2], named: false },
  delete: { run: remove, words: [1, 1], named: false },
}
