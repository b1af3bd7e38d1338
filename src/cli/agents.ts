import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import { Effect } from "effect"
import { accountOptions } from "./account.ts"
import { json } from "./print.ts"

const folder = Args.text({ name: "DIR" }).pipe(
  Args.withDescription("A folder with a JSON file for each agent"),
)

/** Loaded only for a command that needs it: not for --help. */
const actions = Effect.promise(() => import("./agents/actions.ts"))

const exportCommand = Command.make("export", { folder, ...accountOptions, json }, (options) =>
  Effect.flatMap(actions, ({ exportAgents }) => exportAgents(options)),
).pipe(Command.withDescription("Write your agents into files, one each. Secrets are in none of them."))

const apply = Command.make(
  "apply",
  {
    folder,
    isDry: Options.boolean("dry-run").pipe(
      Options.withDescription("Print what would change, and change nothing"),
    ),
    isPruning: Options.boolean("prune").pipe(Options.withDescription("Delete agents that have no file")),
    ...accountOptions,
    json,
  },
  (options) => Effect.flatMap(actions, ({ applyAgents }) => applyAgents(options)),
).pipe(
  Command.withDescription(
    "Create and change your agents so that they are as in the files, by their names. A second time changes nothing.",
  ),
)

export const agents = Command.make("agents").pipe(
  Command.withDescription("Keep your agents as files, for example in git"),
  Command.withSubcommands([exportCommand, apply]),
)
