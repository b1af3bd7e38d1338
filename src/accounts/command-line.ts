import { parseArgs } from "node:util"
import { Console, Effect, type Layer, Option, Schema } from "effect"
import { type Asked, commands, sentences } from "./admin.ts"
import { Email, normalEmail } from "./email.ts"
import type { Keys } from "./keys.ts"
import { KeyName } from "./model.ts"
import type { Users } from "./users.ts"

const usage = `Usage: bun src/main.ts users <command> [--json]

  create EMAIL               make a user, whatever REGISTRATION says, and print the API key
  list                       the users and their keys
  rotate EMAIL [--name NAME] a new key in place of all of the user's, or of those with this name
  revoke EMAIL [KEYID]       end one key at once, or all of them
  delete EMAIL               delete the user with all that is stored of them

  --json   one JSON object a line
  --help   this text

It may be used while the service runs. Exit codes: 0 done, 1 failed, 2 not understood.`

/** The command line asks for nothing that there is. */
export class NotUnderstood extends Schema.TaggedError<NotUnderstood>()("NotUnderstood", {
  message: Schema.String,
}) {}

/** What was asked for could not be done. */
export class NotDone extends Schema.TaggedError<NotDone>()("NotDone", { message: Schema.String }) {}

const notUnderstood = (what: string) =>
  new NotUnderstood({ message: `${what} See: bun src/main.ts users --help.` })

const parse = (args: ReadonlyArray<string>) =>
  Effect.try({
    try: () =>
      parseArgs({
        args: [...args],
        allowPositionals: true,
        options: {
          json: { type: "boolean", default: false },
          help: { type: "boolean", short: "h", default: false },
          name: { type: "string" },
        },
      }),
    // Of what it says, the first sentence is what is wrong.
    catch: (error) =>
      notUnderstood(`${error instanceof Error ? error.message.split(/\.(?:\s|$)/)[0] : error}.`),
  })

const understood = Effect.fnUntraced(function* (args: ReadonlyArray<string>) {
  const { values, positionals } = yield* parse(args)
  const [command = "", email = "", keyId] = positionals
  const words = positionals.length - 1
  const known = Object.hasOwn(commands, command) ? commands[command] : undefined
  if (known === undefined) return yield* notUnderstood(`There is no command "users ${command}".`)
  const [least, most] = known.words
  if (words < least) return yield* notUnderstood(`"users ${command}" needs an e-mail address.`)
  if (words > most) return yield* notUnderstood(`"users ${command}" takes fewer words than that.`)
  if (values.name !== undefined && !known.named) {
    return yield* notUnderstood(`"users ${command}" takes no --name.`)
  }
  const name = yield* Effect.transposeMapOption(Option.fromNullable(values.name), (name) =>
    Effect.mapError(Schema.decode(KeyName)(name), () =>
      notUnderstood("--name must be a text of 1 to 100 characters."),
    ),
  )
  const isEmail = Option.isSome(Schema.decodeOption(Email)(email))
  if (command === "create" && !isEmail) return yield* notUnderstood(`"${email}" is no e-mail address.`)
  const print: Asked["print"] = (lines, object) =>
    Console.log(values.json ? JSON.stringify(object) : lines.join("\n"))
  const asked: Asked = { email: normalEmail(email), keyId: Option.fromNullable(keyId), name, print }
  return { run: known.run, asked }
})

/** Carries out `users …` of the command line on the parts in `layer`, which are made only where there is something to do. */
export const administer = <E>(args: ReadonlyArray<string>, layer: Layer.Layer<Users | Keys, E>) =>
  args.length === 0 || args.includes("--help") || args.includes("-h") || args[0] === "help"
    ? Console.log(usage)
    : Effect.flatMap(understood(args), ({ run, asked }) =>
        run(asked).pipe(
          Effect.mapError(({ _tag }) => new NotDone({ message: sentences[_tag] })),
          Effect.provide(layer),
        ),
      )
