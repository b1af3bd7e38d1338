import * as Args from "@effect/cli/Args"
import * as CliConfig from "@effect/cli/CliConfig"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as ValidationError from "@effect/cli/ValidationError"
import * as BunContext from "@effect/platform-bun/BunContext"
import { Effect, HashMap, Layer } from "effect"
import { version } from "../../package.json"
import { doctor } from "./doctor.ts"
import { CommandFailed, Ended } from "./exit-code.ts"
import { login } from "./login.ts"
import { withoutColoursInPipes } from "./print.ts"
import { say } from "./say.ts"
import { migrate, serve, users } from "./serve.ts"
import { talk } from "./talk.ts"
import { transcribe } from "./transcribe.ts"

const words = Args.repeated(Args.text({ name: "WORD" }))

const serveCommand = Command.make("serve", {}, () => serve).pipe(
  Command.withDescription("Run the service (the default)"),
)
const migrateCommand = Command.make("migrate", {}, () => migrate).pipe(
  Command.withDescription("Bring the database's schema up to date, and end"),
)
/** For the help alone: its command line is its own. */
const usersCommand = Command.make("users", { words }, ({ words }) => users(words)).pipe(
  Command.withDescription("Create, list and delete users, and replace lost API keys (users --help)"),
)

const root = Command.make("voice-agent", {}, () => serve).pipe(
  Command.withDescription(
    "A voice agent: the service, and the tools around it. It is configured by environment variables, or by a file .env in the folder it is started in; .env.example has all. Exit codes: 0 done, 1 failed, 2 not understood.",
  ),
  Command.withSubcommands([serveCommand, migrateCommand, usersCommand, doctor, talk, login, transcribe, say]),
)

const names = [...HashMap.keys(Command.getSubcommands(root))]

const others = names.filter((name) => name !== "serve").toSorted()

const run = Command.run(root, {
  name: "voice-agent",
  version,
  executable: "voice-agent",
  footer: HelpDoc.p(
    'Completion of commands and options: eval "$(voice-agent --completions bash)", or zsh, or fish.',
  ),
})

/** The first words of what is asked for, as the caller wrote them. */
const unknown = (args: ReadonlyArray<string>) =>
  new CommandFailed({
    message: `There is no command "${args.join(" ")}": use serve (the default), ${others.join(", ")} or --help.`,
  })

/** Carries out what a command line asks for. */
export const commandLine = (args: ReadonlyArray<string>) => {
  const [name = "", ...more] = args
  if (name === "users") return users(more)
  const isNamed = names.includes(name)
  const takesNothing = (name === "serve" || name === "migrate") && more.some((word) => !word.startsWith("-"))
  if ((!isNamed && name !== "help" && !name.startsWith("-")) || takesNothing) return unknown(args)
  const asked = name === "help" ? ["--help"] : args
  return run(["bun", "voice-agent", ...asked]).pipe(
    // It has been printed, with what would be right.
    Effect.catchIf(ValidationError.isValidationError, () => new Ended({ code: 2 })),
    Effect.provide(
      Layer.merge(CliConfig.layer({ isCaseSensitive: true, showBuiltIns: false }), BunContext.layer),
    ),
    withoutColoursInPipes,
  )
}
