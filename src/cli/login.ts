import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Prompt from "@effect/cli/Prompt"
import { Config, Effect, Option, Redacted } from "effect"
import { makeClient } from "../client/client.ts"
import { sha256 } from "../hash.ts"
import { accountOptions, call, identify } from "./account.ts"
import { CommandFailed } from "./exit-code.ts"
import { json, print } from "./print.ts"
import { recall, remember } from "./state.ts"

const key = Options.redacted("key").pipe(
  Options.withPseudoName("KEY"),
  Options.withFallbackConfig(Config.redacted("VOICE_AGENT_KEY")),
  Options.optional,
  Options.withDescription("The API key. Default: VOICE_AGENT_KEY, a prompt, or the standard input"),
)

const { url, email } = accountOptions

/** From `login < key.txt`, or from another program. */
const readKey = Effect.promise(() => Bun.stdin.text()).pipe(
  Effect.map((text) => text.trim()),
  Effect.filterOrFail(
    (text) => text !== "",
    () =>
      new CommandFailed({
        message:
          "There is no API key on the standard input. Run login in a terminal, write the key to its standard input, or set VOICE_AGENT_KEY.",
      }),
  ),
  Effect.map((text) => Redacted.make(text)),
)

/** A prompt without a terminal would wait for ever. */
const askForKey = Effect.suspend(() =>
  process.stdin.isTTY
    ? // Ctrl-C in the prompt.
      Effect.catchTag(Prompt.password({ message: "API key" }), "QuitException", () => Effect.interrupt)
    : readKey,
)

/** Stores a key for later commands, once the service has accepted it. */
export const login = Command.make("login", { url, email, key, json }, (options) =>
  Effect.gen(function* () {
    const given =
      Option.isSome(options.key) || Option.isSome(options.email) ? options.key : Option.some(yield* askForKey)
    const { url, apiKey } = yield* identify({ ...options, key: given })
    const { userId, email } = yield* call(() => makeClient({ baseUrl: url, apiKey }).login(), url)
    const stored = yield* recall(url)
    // The service would refuse another user's session.
    const session =
      stored.email === email && stored.sessionId !== undefined
        ? { sessionId: stored.sessionId, sessionKey: sha256(apiKey) }
        : {}
    yield* remember(url, { apiKey, email, ...session })
    yield* print(options.json, [`Stored the API key of ${email} at ${url}.`], { url, userId, email })
  }),
).pipe(Command.withDescription("Store an API key, or register with --email and store the new key"))
