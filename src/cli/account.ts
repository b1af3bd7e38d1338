import * as Options from "@effect/cli/Options"
import { Config, Effect, Option, Redacted } from "effect"
import { makeClient, VoiceAgentError } from "../client/client.ts"
import { CommandFailed } from "./exit-code.ts"
import { type Account, recall, remember } from "./state.ts"

/** Where the service is, and who asks. */
export const accountOptions = {
  url: Options.text("url").pipe(
    Options.withFallbackConfig(Config.string("VOICE_AGENT_URL")),
    Options.withDefault("http://localhost:3000"),
    Options.withDescription("Where the service is; VOICE_AGENT_URL, else http://localhost:3000"),
  ),
  key: Options.redacted("key").pipe(
    Options.withFallbackConfig(Config.redacted("VOICE_AGENT_KEY")),
    Options.optional,
    Options.withDescription(
      "The API key; VOICE_AGENT_KEY, else the one kept by login. Other users of the machine see what stands on a command line",
    ),
  ),
  email: Options.text("email").pipe(
    Options.optional,
    Options.withDescription("Register with this address where there is no key yet, and keep the key"),
  ),
}

export interface Asked {
  readonly url: string
  readonly key: Option.Option<Redacted.Redacted>
  readonly email: Option.Option<string>
}

/** One call of the client; the fibre's interruption ends it. */
export const call = <A>(ask: (signal: AbortSignal) => Promise<A>, url: string) =>
  Effect.tryPromise({
    try: ask,
    catch: (error) => {
      if (!(error instanceof VoiceAgentError)) return new CommandFailed({ message: `${error}` })
      const hint = error.code === "NETWORK_LOST" ? ` Does it run at ${url}? --url names another place.` : ""
      return new CommandFailed({ message: `${error.code}: ${error.message}${hint}` })
    },
  })

/** Makes a user, and keeps the key at once: it is shown this once. */
const register = (url: string, email: string) =>
  Effect.gen(function* () {
    const { apiKey } = yield* call(() => makeClient({ baseUrl: url }).register(email), url)
    const account: Account = { apiKey, email }
    yield* remember(url, account)
    return account
  })

/** Whose calls these are: the key that was given, the one that is kept, or that of a new user. */
export const identify = Effect.fnUntraced(function* (asked: Asked) {
  const url = asked.url.replace(/\/+$/, "")
  const kept = yield* recall(url)
  const given = Option.map(asked.key, Redacted.value)
  if (Option.isSome(given)) return { url, apiKey: given.value, account: kept }
  const isAnother = Option.exists(asked.email, (email) => email !== kept.email)
  if (kept.apiKey !== undefined && !isAnother) return { url, apiKey: kept.apiKey, account: kept }
  if (Option.isSome(asked.email)) {
    const account = yield* register(url, asked.email.value)
    return { url, apiKey: account.apiKey ?? "", account }
  }
  return yield* new CommandFailed({
    message:
      "There is no API key for this service: register with --email ADDRESS, keep one with `voice-agent login`, or set VOICE_AGENT_KEY.",
  })
})
