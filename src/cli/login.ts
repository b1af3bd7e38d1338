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
  Options.withDescription("The API key; VOICE_AGENT_KEY, else it is asked for"),
)

const { url, email } = accountOptions

/** Keeps a key for the next calls, once the service has said whose it is. */
export const login = Command.make("login", { url, email, key, json }, (asked) =>
  Effect.gen(function* () {
    const given =
      Option.isSome(asked.key) || Option.isSome(asked.email)
        ? asked.key
        : Option.some(yield* Prompt.password({ message: "API key" }))
    const { url, apiKey } = yield* identify({ ...asked, key: given })
    const { userId, email } = yield* call(() => makeClient({ baseUrl: url, apiKey }).login(), url)
    const kept = yield* recall(url)
    // Another user's session would be refused anyway.
    const session = kept.email === email && kept.sessionId !== undefined ? { sessionId: kept.sessionId } : {}
    yield* remember(url, { apiKey, email, ...session })
    yield* print(asked.json, [`The key of ${email} at ${url} is kept.`], { url, userId, email })
  }),
).pipe(Command.withDescription("Keep an API key, or register with --email and keep the new one"))
