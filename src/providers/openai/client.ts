import { Duration, Option, Redacted } from "effect"
import OpenAI from "openai"
import type { ServerSettings } from "../../config.ts"
import type { Stage } from "../../schema.ts"
import type { Lessons } from "../lessons.ts"
import { type Optional, sendAdapted } from "./adapt.ts"
import { keyHeaders } from "./address.ts"
import { providerFetch } from "./fetch.ts"
import { withSettings } from "./request.ts"

/** One server: OpenAI, or another that speaks its API. */
export interface OpenAiClient {
  readonly sdk: OpenAI
  /**
   * Calls `send` with the optional fields that this server accepts for the model, and with those of the configuration.
   * `sendAdapted` says when it calls it again.
   */
  readonly adapted: <A>(
    stage: Stage,
    model: string,
    optionals: ReadonlyArray<Optional>,
    send: (fields: Readonly<Record<string, unknown>>) => Promise<A>,
    /** A sign of life: the server refused a request, and gets another. */
    onRefusal?: () => void,
  ) => Promise<A>
}

/** It never retries by itself. */
export const makeClient = (server: ServerSettings, lessons: Lessons["Type"]): OpenAiClient => {
  const { engine, baseUrl, apiKey, timeout, omit, extraBody } = server
  const sdk = new OpenAI({
    apiKey: Redacted.value(apiKey),
    baseURL: Option.getOrNull(baseUrl),
    maxRetries: 0,
    defaultHeaders: { authorization: null, ...keyHeaders(server) },
    // A redirect would send the conversation to a server that is not configured.
    fetchOptions: { redirect: "error" },
    fetch: providerFetch,
    // Otherwise the SDK reads these from the environment and sends them to every server.
    ...(engine === "openai" ? {} : { organization: null, project: null }),
    // The SDK's time-out ends with the headers of the answer. `withTimeout` covers the body too, and comes first.
    timeout: 2 * Duration.toMillis(timeout),
    logLevel: "off",
  })
  return {
    sdk,
    adapted: (stage, model, optionals, send, onRefusal = () => undefined) =>
      sendAdapted(
        lessons.of({ stage, baseUrl: Option.getOrElse(baseUrl, () => sdk.baseURL), model }),
        withSettings(optionals, omit, extraBody),
        send,
        onRefusal,
      ),
  }
}
