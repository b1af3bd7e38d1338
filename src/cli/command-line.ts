import * as CliConfig from "@effect/cli/CliConfig"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as ValidationError from "@effect/cli/ValidationError"
import * as BunContext from "@effect/platform-bun/BunContext"
import { Console, Effect, HashMap, Layer } from "effect"
import { version } from "../../package.json"
import { doctor } from "./doctor.ts"
import { CommandFailed, ExitWith } from "./exit-code.ts"
import { login } from "./login.ts"
import { withoutColoursInPipes } from "./print.ts"
import { say } from "./say.ts"
import { migrate, serve } from "./serve.ts"
import { talk } from "./talk.ts"
import { transcribe } from "./transcribe.ts"
import { users } from "./users.ts"

const serveCommand = Command.make("serve", {}, () => serve).pipe(
  Command.withDescription("Run the service (the default)"),
)
const migrateCommand = Command.make("migrate", {}, () => migrate).pipe(
  Command.withDescription("Migrate the database's schema to this version, and exit"),
)

const root = Command.make("voice-agent", {}, () => serve).pipe(
  Command.withDescription(
    "A voice agent: the service and its tools. Environment variables configure it, or a file .env in the current folder; .env.example lists them all. Exit codes: 0 done, 1 failed, 2 invalid command line.",
  ),
  Command.withSubcommands([serveCommand, migrateCommand, users, doctor, talk, login, transcribe, say]),
)

const namesOf = <Name extends string, R, E, A>(command: Command.Command<Name, R, E, A>) =>
  [...HashMap.keys(Command.getSubcommands(command))].toSorted()

const names = namesOf(root)
const userCommands = namesOf(users)

const run = Command.run(root, {
  name: "voice-agent",
  version,
  executable: "voice-agent",
  footer: HelpDoc.p(
    'To complete commands and options in bash: eval "$(voice-agent --completions bash)". zsh and fish work the same way.',
  ),
})

const unknownCommand = (args: ReadonlyArray<string>) =>
  new CommandFailed({
    message: `There is no command "${args.join(" ")}": use serve (the default), ${names.filter((name) => name !== "serve").join(", ")} or --help.`,
  })

/** @effect/cli would list the commands of the root instead. */
const unknownUserCommand = (name: string) =>
  Effect.zipRight(
    Console.error(`There is no command "users ${name}": use ${userCommands.join(", ")} or --help.`),
    new ExitWith({ code: 2 }),
  )

/** `help` and `users`, alone or followed by `help`, print help as `--help` does. */
const withHelp = (args: ReadonlyArray<string>): ReadonlyArray<string> => {
  const [name, next] = args
  if (name === "help") return ["--help"]
  return name === "users" && (next === undefined || next === "help") ? ["users", "--help"] : args
}

/** Runs the command that the arguments name. */
export const commandLine = (args: ReadonlyArray<string>) => {
  const [name = "", ...more] = withHelp(args)
  const isKnown = names.includes(name) || name.startsWith("-")
  const hasExtraWords = (name === "serve" || name === "migrate") && more.some((word) => !word.startsWith("-"))
  if (!isKnown || hasExtraWords) return unknownCommand(args)
  const [userCommand = ""] = more
  if (name === "users" && ![...userCommands, "--help", "-h"].includes(userCommand)) {
    return unknownUserCommand(userCommand)
  }
  return run(["bun", "voice-agent", name, ...more]).pipe(
    // @effect/cli has printed the error.
    Effect.catchIf(ValidationError.isValidationError, () => new ExitWith({ code: 2 })),
    Effect.provide(
      Layer.merge(CliConfig.layer({ isCaseSensitive: true, showBuiltIns: false }), BunContext.layer),
    ),
    withoutColoursInPipes,
  )
}
