import * as Options from "@effect/cli/Options"
import { Config, Effect, Option, Redacted } from "effect"
import { makeClient, VoiceAgentError } from "../client/client.ts"
import { CommandFailed } from "./exit-code.ts"
import { type Account, recall, remember } from "./state.ts"

/** The options of every command that calls a service. */
export const accountOptions = {
  url: Options.text("url").pipe(
    Options.withPseudoName("URL"),
    Options.withFallbackConfig(Config.string("VOICE_AGENT_URL")),
    Options.withDefault("http://localhost:3000"),
    Options.withDescription("The URL of the service. Default: VOICE_AGENT_URL, or http://localhost:3000"),
  ),
  key: Options.redacted("key").pipe(
    Options.withPseudoName("KEY"),
    Options.withFallbackConfig(Config.redacted("VOICE_AGENT_KEY")),
    Options.optional,
    Options.withDescription(
      "The API key. Default: VOICE_AGENT_KEY, or the key that login stored. Prefer these: other users of this machine can see command lines",
    ),
  ),
  email: Options.text("email").pipe(
    Options.withPseudoName("EMAIL"),
    Options.optional,
    Options.withDescription("Register this e-mail address if no key is stored for it, and store the new key"),
  ),
}

export interface AccountOptions {
  readonly url: string
  readonly key: Option.Option<Redacted.Redacted>
  readonly email: Option.Option<string>
}

/** Calls the service at `url`. Interruption aborts the request. */
export const call = <A>(request: (signal: AbortSignal) => Promise<A>, url: string) =>
  Effect.tryPromise({
    try: request,
    catch: (error) => {
      if (!(error instanceof VoiceAgentError)) return new CommandFailed({ message: `${error}` })
      const hint =
        error.code === "NETWORK_LOST" ? ` Does it run at ${url}? Set another address with --url.` : ""
      return new CommandFailed({ message: `${error.code}: ${error.message}${hint}` })
    },
  })

/** Registers a user, and stores the key at once, because it is shown only once. */
const register = (url: string, email: string) =>
  Effect.gen(function* () {
    const { apiKey } = yield* call(() => makeClient({ baseUrl: url }).register(email), url)
    const account: Account = { apiKey, email }
    yield* remember(url, account)
    return account
  })

/** The API key to use: the given one, the stored one, or that of a new user. */
export const identify = Effect.fnUntraced(function* (options: AccountOptions) {
  const url = options.url.replace(/\/+$/, "")
  const stored = yield* recall(url)
  const given = Option.map(options.key, Redacted.value)
  if (Option.isSome(given)) return { url, apiKey: given.value, account: stored }
  const isAnother = Option.exists(options.email, (email) => email !== stored.email)
  if (stored.apiKey !== undefined && !isAnother) return { url, apiKey: stored.apiKey, account: stored }
  if (Option.isSome(options.email)) {
    const account = yield* register(url, options.email.value)
    return { url, apiKey: account.apiKey ?? "", account }
  }
  // Without a service, no key would help.
  yield* Effect.tryPromise({
    try: (signal) =>
      fetch(`${url}/api/v1/health`, { signal: AbortSignal.any([signal, AbortSignal.timeout(5000)]) }),
    catch: () =>
      new CommandFailed({
        message: `Nothing answers at ${url}. Start the service, or set another address with --url.`,
      }),
  })
  return yield* new CommandFailed({
    message:
      "There is no API key for this service: register with --email ADDRESS, store one with ./voice-agent login, or set VOICE_AGENT_KEY.",
  })
})
