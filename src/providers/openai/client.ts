import { Duration, Option, Redacted } from "effect"
import OpenAI from "openai"
import type { ServerSettings } from "../../config.ts"
import { providerFetch } from "./fetch.ts"

/** The SDK for one server: OpenAI, or another that speaks its API. It never retries by itself. */
export const makeClient = ({ engine, baseUrl, apiKey, timeout }: ServerSettings): OpenAI =>
  new OpenAI({
    apiKey: Redacted.value(apiKey),
    baseURL: Option.getOrNull(baseUrl),
    maxRetries: 0,
    // A redirect would send the conversation to a server that is not configured.
    fetchOptions: { redirect: "error" },
    fetch: providerFetch,
    // Otherwise the SDK reads these from the environment and sends them to every server.
    ...(engine === "openai" ? {} : { organization: null, project: null }),
    // The SDK's time-out ends with the headers of the answer. `withTimeout` covers the body too, and comes first.
    timeout: 2 * Duration.toMillis(timeout),
    logLevel: "off",
  })
