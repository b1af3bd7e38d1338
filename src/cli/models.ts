import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import { Effect } from "effect"
import { mirrorFault } from "../models/source.ts"
import { isLanguage } from "../text/language.ts"
import { json } from "./print.ts"

/** The manifest is loaded only for a command that needs it: not for --help. */
const maintenance = Effect.promise(() => import("./models/maintain.ts"))

const language = Options.text("language").pipe(
  Options.withPseudoName("CODE"),
  Options.withDescription(
    "What is spoken, as an ISO 639-1 code, for the recommendation. Default: STT_LANGUAGE, or en",
  ),
  Options.mapEffect((code) =>
    isLanguage(code.toLowerCase())
      ? Effect.succeed(code.toLowerCase())
      : Effect.fail(
          ValidationError.invalidValue(HelpDoc.p("--language must be an ISO 639-1 code such as en or de.")),
        ),
  ),
  Options.optional,
)
const name = Args.text({ name: "NAME" }).pipe(Args.withDescription("The name of a model"))
const names = Args.repeated(name)

const role = (name: string, description: string) =>
  Options.boolean(name).pipe(Options.withDescription(description))

const list = Command.make("list", { language, json }, ({ language, json }) =>
  Effect.flatMap(
    Effect.promise(() => import("./models/list.ts")),
    ({ list }) => list(language, json),
  ),
).pipe(
  Command.withDescription(
    "List the models: which are installed, which are recommended for this machine, their sizes and licences (the default)",
  ),
)

const pull = Command.make(
  "pull",
  {
    names,
    language,
    isDefault: Options.boolean("default").pipe(
      Options.withDescription("Only the models that the set-up installs: a small recognizer for English"),
    ),
    stt: role("stt", "Only the recommended model for speech to text"),
    tts: role("tts", "Only the recommended model for text to speech"),
    llm: role("llm", "Only the recommended language model, which Ollama runs"),
    from: Options.text("from").pipe(
      Options.withPseudoName("FOLDER|URL"),
      Options.withDescription(
        "A folder, or an http, https or file URL, with a copy of another machine's folder of models, in place of the internet",
      ),
      Options.mapEffect((from) => {
        const fault = mirrorFault(from)
        return fault === undefined
          ? Effect.succeed(from)
          : Effect.fail(ValidationError.invalidValue(HelpDoc.p(fault)))
      }),
      Options.optional,
    ),
    yes: Options.boolean("yes").pipe(
      Options.withAlias("y"),
      Options.withDescription("Download without a question"),
    ),
    json,
  },
  (options) =>
    Effect.flatMap(
      Effect.promise(() => import("./models/pull.ts")),
      ({ pull }) => pull(options),
    ),
).pipe(
  Command.withDescription(
    "Download models: those named, or the recommended ones. An interrupted download goes on where it stopped.",
  ),
)

const verify = Command.make("verify", { names, json }, ({ names, json }) =>
  Effect.flatMap(maintenance, ({ verify }) => verify(names, json)),
).pipe(Command.withDescription("Check the hashes of the installed models. Exit code 1 if one is damaged"))

const remove = Command.make("remove", { names: Args.atLeast(name, 1), json }, ({ names, json }) =>
  Effect.flatMap(maintenance, ({ remove }) => remove(names, json)),
).pipe(Command.withDescription("Delete models"))

export const models = Command.make("models").pipe(
  Command.withDescription("List, download, check and delete the models of the offline engines."),
  Command.withSubcommands([list, pull, verify, remove]),
)
