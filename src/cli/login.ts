import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Prompt from "@effect/cli/Prompt"
import { Config, Effect, Option } from "effect"
import { makeClient } from "../client/client.ts"
import { accountOptions, call, identify } from "./account.ts"
import { json, print } from "./print.ts"
import { recall, remember } from "./state.ts"

const key = Options.redacted("key").pipe(
  Options.withFallbackConfig(Config.redacted("VOICE_AGENT_KEY")),
  Options.optional,
  Options.withDescription("The API key. Default: VOICE_AGENT_KEY, or a prompt"),
)

const { url, email } = accountOptions

/** Stores a key for later commands, once the service has accepted it. */
export const login = Command.make("login", { url, email, key, json }, (options) =>
  Effect.gen(function* () {
    const given =
      Option.isSome(options.key) || Option.isSome(options.email)
        ? options.key
        : Option.some(yield* Prompt.password({ message: "API key" }))
    const { url, apiKey } = yield* identify({ ...options, key: given })
    const { userId, email } = yield* call(() => makeClient({ baseUrl: url, apiKey }).login(), url)
    const stored = yield* recall(url)
    // The service would refuse another user's session.
    const session =
      stored.email === email && stored.sessionId !== undefined ? { sessionId: stored.sessionId } : {}
    yield* remember(url, { apiKey, email, ...session })
    yield* print(options.json, [`Stored the API key of ${email} at ${url}.`], { url, userId, email })
  }),
).pipe(Command.withDescription("Store an API key, or register with --email and store the new key"))
