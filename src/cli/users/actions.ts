import { Array as Arr, Console, Effect, Option, Redacted, Schema } from "effect"
import {
  ApiKeyNotFound,
  type EmailTaken,
  type InvalidApiKey,
  type TooManyApiKeys,
  type UserNotFound,
} from "../../accounts/errors.ts"
import { Keys, type NewApiKey } from "../../accounts/keys.ts"
import { ApiKey, type LimitedUser, type User } from "../../accounts/model.ts"
import { Users } from "../../accounts/users.ts"
import { administration } from "../../app.ts"
import { Settings } from "../../config.ts"
import type { DatabaseError } from "../../db/errors.ts"
import { ApiKeyId, parseId } from "../../schema.ts"
import { unpricedModels } from "../../usage/unpriced.ts"
import { CommandFailed } from "../exit-code.ts"
import { print } from "../print.ts"

type Failure = EmailTaken | UserNotFound | InvalidApiKey | ApiKeyNotFound | TooManyApiKeys | DatabaseError

const sentences: Record<Failure["_tag"], string> = {
  EmailTaken: "This e-mail address is already registered. To give its user a new key, use users rotate.",
  UserNotFound: "There is no user with this e-mail address.",
  InvalidApiKey: "The user has just been deleted.",
  ApiKeyNotFound: "The user has no such API key, or it has ended. users list shows the user's keys.",
  TooManyApiKeys: "The user has too many API keys. Revoke one first.",
  DatabaseUnavailable: "The database is not available at the moment.",
  ConstraintViolated: "This conflicts with stored data.",
}

/** Runs an action on the database, also while the service runs. */
const administer = <A>(action: Effect.Effect<A, Failure, Users | Keys | Settings>) =>
  action.pipe(
    Effect.mapError(({ _tag }) => new CommandFailed({ message: sentences[_tag] })),
    Effect.provide(administration),
  )

const find = (email: string) => Effect.flatMap(Users, (users) => users.find(email))

export const create = (email: string, json: boolean) =>
  administer(
    Effect.gen(function* () {
      const { userId, keyId, apiKey } = yield* Effect.flatMap(Users, (users) => users.register(email))
      const key = Redacted.value(apiKey)
      yield* print(json, [`User ${email} (${userId})`, `API key, shown this once: ${key}`], {
        userId,
        email,
        keyId,
        apiKey: key,
      })
    }),
  )

const stateOf = ({ expiresAt, revokedAt }: ApiKey) => [
  ...(expiresAt === null ? [] : [`expires ${expiresAt.toISOString()}`]),
  ...(revokedAt === null ? [] : [`revoked from ${revokedAt.toISOString()}`]),
]

const lineOf = (key: ApiKey) => {
  const used = key.lastUsedAt === null ? "never used" : `used ${key.lastUsedAt.toISOString()}`
  return `  ${key.id}  ${key.prefix ?? "sk_"}…  ${[key.name, used, ...stateOf(key)].join(", ")}`
}

const encodeKey = Schema.encodeSync(ApiKey)

const limitName = (limit: number | null) => (limit === null ? "default" : limitText(limit))
const limitText = (limit: number) => (limit === Number.POSITIVE_INFINITY ? "none" : limit)

const userLine = ({ id, email, createdAt, monthlyLimit }: LimitedUser) => {
  const limit = monthlyLimit === null ? "" : `  monthly limit ${limitText(monthlyLimit)}`
  return `${email}  ${id}  since ${createdAt.toISOString()}${limit}`
}

export const list = (json: boolean) =>
  administer(
    Effect.gen(function* () {
      const users = yield* Users
      const keys = yield* Keys
      const printUser = ({ id, email, createdAt, monthlyLimit }: LimitedUser) =>
        Effect.flatMap(keys.list(id), (owned) =>
          print(json, [userLine({ id, email, createdAt, monthlyLimit }), ...owned.map(lineOf)], {
            userId: id,
            email,
            createdAt,
            monthlyLimit: limitName(monthlyLimit),
            keys: owned.map((key) => encodeKey(key)),
          }),
        )
      let page = yield* users.list("")
      while (Arr.isNonEmptyReadonlyArray(page)) {
        yield* Effect.forEach(page, printUser, { discard: true })
        page = yield* users.list(Arr.lastNonEmpty(page).email)
      }
    }),
  )

const printKey = ({ id: userId, email }: User, { id, name, apiKey }: NewApiKey, json: boolean) => {
  const key = Redacted.value(apiKey)
  return print(json, [`User ${email} (${userId})`, `API key "${name}", shown this once: ${key}`], {
    userId,
    email,
    keyId: id,
    name,
    apiKey: key,
  })
}

export const rotate = (email: string, name: Option.Option<string>, json: boolean) =>
  administer(
    Effect.gen(function* () {
      const user = yield* find(email)
      const keys = yield* Keys
      yield* printKey(user, yield* keys.replace(user.id, name), json)
    }),
  )

export const revoke = (email: string, keyId: Option.Option<string>, json: boolean) =>
  administer(
    Effect.gen(function* () {
      const user = yield* find(email)
      const keys = yield* Keys
      const id = yield* Effect.transposeMapOption(keyId, (text) =>
        Effect.mapError(parseId(ApiKeyId, text), () => new ApiKeyNotFound()),
      )
      const revoked = yield* keys.withdraw(user.id, id)
      yield* print(json, [`Revoked ${revoked} API ${revoked === 1 ? "key" : "keys"} of ${user.email}.`], {
        userId: user.id,
        email: user.email,
        revoked,
      })
    }),
  )

export const limit = (email: string, amount: Option.Option<number>, json: boolean) =>
  administer(
    Effect.gen(function* () {
      const settings = yield* Settings
      const user = yield* find(email)
      const users = yield* Users
      yield* users.setMonthlyLimit(user.id, amount)
      const monthlyLimit = limitName(Option.getOrNull(amount))
      yield* print(json, [`The monthly limit of ${user.email} is ${monthlyLimit} now.`], {
        userId: user.id,
        email: user.email,
        monthlyLimit,
      })
      const monthly = Option.filter(amount, Number.isFinite)
      const unpriced = unpricedModels({ ...settings, usage: { ...settings.usage, monthlyLimit: monthly } })
      if (Option.isSome(monthly) && Option.isSome(unpriced))
        yield* Console.error(`No price for ${unpriced.value.models}. ${unpriced.value.hint}`)
    }),
  )

export const remove = (email: string, json: boolean) =>
  administer(
    Effect.gen(function* () {
      const user = yield* find(email)
      yield* Effect.flatMap(Users, (users) => users.remove(user.id))
      yield* print(json, [`Deleted ${user.email} (${user.id}) with all their data.`], {
        userId: user.id,
        email: user.email,
      })
    }),
  )
