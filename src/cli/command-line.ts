import * as CliConfig from "@effect/cli/CliConfig"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as ValidationError from "@effect/cli/ValidationError"
import * as BunContext from "@effect/platform-bun/BunContext"
import { Console, Effect, HashMap, Layer } from "effect"
import { version } from "../../package.json"
import { agents } from "./agents.ts"
import { doctor } from "./doctor.ts"
import { ExitWith } from "./exit-code.ts"
import { withPlainHelp } from "./help.ts"
import { login } from "./login.ts"
import { models } from "./models.ts"
import { ignoreClosedPipes } from "./print.ts"
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
  Command.withSubcommands([
    serveCommand,
    migrateCommand,
    users,
    agents,
    models,
    doctor,
    talk,
    login,
    transcribe,
    say,
  ]),
)

const namesOf = <Name extends string, R, E, A>(command: Command.Command<Name, R, E, A>) =>
  [...HashMap.keys(Command.getSubcommands(command))].toSorted()

const names = namesOf(root)
/** The commands that have commands of their own. */
const groups = new Map([
  ["users", namesOf(users)],
  ["agents", namesOf(agents)],
  ["models", namesOf(models)],
])

const run = Command.run(root, {
  name: "voice-agent",
  version,
  executable: "voice-agent",
  footer: HelpDoc.p(
    'To complete commands and options in bash: eval "$(./voice-agent --completions bash)". zsh and fish work the same way.',
  ),
})

const invalid = (message: string) => Effect.zipRight(Console.error(message), new ExitWith({ code: 2 }))

/** @effect/cli would list every command of the root, without a sentence. */
const unknownCommand = (name: string, known: ReadonlyArray<string>) =>
  invalid(`There is no command "${name}": use ${known.join(", ")} or --help.`)

/** Those of @effect/cli that a user of the command line needs. */
const rootOptions = ["--help", "-h", "--version", "--completions"]

/**
 * `help` before a command, or after a group, prints help as `--help` does, and so do `users` and `agents` alone. `models`
 * alone lists the models.
 */
const withDefaults = (args: ReadonlyArray<string>): ReadonlyArray<string> => {
  const [name = "", next, ...more] = args
  if (name === "help") return [...args.slice(1), "--help"]
  if (!groups.has(name)) return args
  if (next === "help" || (next === undefined && name !== "models")) return [name, ...more, "--help"]
  const isCommand = next === "--help" || next === "-h" || next?.startsWith("-") === false
  return name === "models" && !isCommand ? [name, "list", ...args.slice(1)] : args
}

/** Runs the command that the arguments name. */
export const commandLine = (args: ReadonlyArray<string>) => {
  const [name = "", ...more] = withDefaults(args)
  const [word = ""] = more
  if (name.startsWith("-") && !rootOptions.includes(name.replace(/=.*/, ""))) {
    return invalid(`There is no option "${name}": use ./voice-agent --help.`)
  }
  if (!name.startsWith("-") && !names.includes(name)) return unknownCommand(name, names)
  if ((name === "serve" || name === "migrate") && word !== "" && !word.startsWith("-")) {
    return unknownCommand(`${name} ${word}`, names)
  }
  const group = groups.get(name)
  if (group !== undefined && ![...group, "--help", "-h"].includes(word)) {
    return unknownCommand(`${name} ${word}`, group)
  }
  const parents = group?.includes(word) === true ? ["voice-agent", name] : ["voice-agent"]
  const command = [...parents, parents.length > 1 ? word : name].join(" ")
  return Effect.zipRight(ignoreClosedPipes, run(["bun", "voice-agent", name, ...more])).pipe(
    // @effect/cli has printed what is wrong.
    Effect.catchIf(ValidationError.isValidationError, () => invalid(`See ./${command} --help.`)),
    Effect.provide(
      Layer.merge(CliConfig.layer({ isCaseSensitive: true, showBuiltIns: false }), BunContext.layer),
    ),
    withPlainHelp(parents),
  )
}
