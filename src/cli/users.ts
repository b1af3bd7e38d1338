import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import { Effect, Option, Schema } from "effect"
import { Email, normalEmail } from "../accounts/email.ts"
import { KeyName } from "../accounts/model.ts"
import { limitAmount } from "../config/checks.ts"
import { json } from "./print.ts"

const invalid = (message: string) => () => HelpDoc.p(message)

const anyEmail = Args.text({ name: "EMAIL" }).pipe(
  Args.withDescription("The e-mail address of the user"),
  Args.map(normalEmail),
)
/** None: `default`. Infinity: `none`. */
const readLimit = (text: string): Option.Option<Option.Option<number>> => {
  if (text === "default") return Option.some(Option.none())
  if (text === "none") return Option.some(Option.some(Number.POSITIVE_INFINITY))
  return /^\d+(\.\d+)?$/.test(text) ? Option.map(limitAmount.parse(text), Option.some) : Option.none()
}
const newEmail = Args.mapEffect(anyEmail, (email) =>
  Effect.mapError(Schema.decode(Email)(email), invalid(`"${email}" is not an e-mail address.`)),
)
const keyId = Args.text({ name: "KEYID" }).pipe(
  Args.withDescription("The id of an API key, as users list prints it"),
  Args.optional,
)
const name = Options.text("name").pipe(
  Options.withPseudoName("NAME"),
  Options.withDescription("Replace only the keys with this name, and give it to the new key"),
  Options.mapEffect((name) =>
    Effect.mapError(Schema.decode(KeyName)(name), () =>
      ValidationError.invalidValue(HelpDoc.p("--name must be a string of 1 to 100 characters.")),
    ),
  ),
  Options.optional,
)

/** Loads the database and everything on it only for a command that needs it: not for --help. */
const actions = Effect.promise(() => import("./users/actions.ts"))

const create = Command.make("create", { email: newEmail, json }, ({ email, json }) =>
  Effect.flatMap(actions, ({ create }) => create(email, json)),
).pipe(Command.withDescription("Create a user, whatever REGISTRATION is, and print the API key"))

const list = Command.make("list", { json }, ({ json }) =>
  Effect.flatMap(actions, ({ list }) => list(json)),
).pipe(Command.withDescription("List the users and their API keys"))

const rotate = Command.make("rotate", { email: anyEmail, name, json }, ({ email, name, json }) =>
  Effect.flatMap(actions, ({ rotate }) => rotate(email, name, json)),
).pipe(Command.withDescription("Revoke all API keys of a user, and print a new one"))

const revoke = Command.make("revoke", { email: anyEmail, keyId, json }, ({ email, keyId, json }) =>
  Effect.flatMap(actions, ({ revoke }) => revoke(email, keyId, json)),
).pipe(Command.withDescription("Revoke one API key of a user, or all of them"))

const amount = Args.text({ name: "AMOUNT" }).pipe(
  Args.withDescription(
    "A number of the currency of PRICES, none for no limit, or default for that of MONTHLY_LIMIT",
  ),
  Args.mapEffect((text) =>
    Effect.mapError(readLimit(text), invalid(`"${text}" is not ${limitAmount.mustBe}, none or default.`)),
  ),
)
const limit = Command.make("limit", { email: anyEmail, amount, json }, ({ email, amount, json }) =>
  Effect.flatMap(actions, ({ limit }) => limit(email, amount, json)),
).pipe(Command.withDescription("Set what the turns of a user may cost in a calendar month"))

const remove = Command.make("delete", { email: anyEmail, json }, ({ email, json }) =>
  Effect.flatMap(actions, ({ remove }) => remove(email, json)),
).pipe(Command.withDescription("Delete a user with all their data"))

export const users = Command.make("users").pipe(
  Command.withDescription(
    "Create, list and delete users, limit their costs, and replace lost API keys. It may be used while the service runs.",
  ),
  Command.withSubcommands([create, list, rotate, revoke, limit, remove]),
)
