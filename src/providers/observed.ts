import { Cause, Clock, Effect, Exit, Option } from "effect"
import type { ServerSettings } from "../config.ts"
import { recordProviderRequest } from "../metrics.ts"
import type { Stage } from "../schema.ts"
import type { ProviderError } from "./errors.ts"

/** OpenTelemetry has a name of its own for `chat` only. */
const operations = { stt: "transcribe", llm: "chat", tts: "speak" } as const satisfies Record<Stage, string>

/** The names of providers in OpenTelemetry's semantic conventions for generative AI, by the end of the host. */
const wellKnown: ReadonlyArray<readonly [host: string, name: string]> = [
  ["api.openai.com", "openai"],
  ["openai.azure.com", "azure.ai.openai"],
  ["services.ai.azure.com", "azure.ai.inference"],
  ["anthropic.com", "anthropic"],
  ["generativelanguage.googleapis.com", "gcp.gemini"],
  ["aiplatform.googleapis.com", "gcp.vertex_ai"],
  ["groq.com", "groq"],
  ["mistral.ai", "mistral_ai"],
  ["deepseek.com", "deepseek"],
  ["cohere.com", "cohere"],
  ["perplexity.ai", "perplexity"],
  ["x.ai", "x_ai"],
]

const isBelow = (host: string, end: string) => host === end || host.endsWith(`.${end}`)

const serverAttributes = ({ baseUrl }: ServerSettings) =>
  Option.match(baseUrl, {
    onNone: () => ({ "gen_ai.provider.name": "offline" }),
    onSome: (url) => {
      const { hostname, port, protocol } = new URL(url)
      const name = wellKnown.find(([end]) => isBelow(hostname, end))?.[1]
      return {
        "gen_ai.provider.name": name ?? hostname,
        "server.address": hostname,
        "server.port": port === "" ? (protocol === "https:" ? 443 : 80) : Number(port),
      }
    },
  })

const outcomes = {
  ProviderRateLimited: "rate_limited",
  ProviderRefusedKey: "refused_key",
  ProviderRefusedRequest: "refused_request",
} as const

/** What became of a request, in one word. `cancelled`: the turn ended, or nobody needs the answer any more. */
const outcomeOf = (exit: Exit.Exit<unknown, ProviderError>): string => {
  if (Exit.isSuccess(exit)) return "ok"
  return Option.match(Cause.failureOption(exit.cause), {
    onNone: () => (Cause.isInterrupted(exit.cause) ? "cancelled" : "defect"),
    onSome: (error) =>
      error._tag === "ProviderUnusable" ? (error.kind ?? "unusable") : outcomes[error._tag],
  })
}

/**
 * Counts and times one request, in a span by OpenTelemetry's semantic conventions for generative AI: its name is
 * `chat gpt-4o-mini`, for example.
 *
 * @param role Which server of the stage it is, for the metrics.
 */
export const observed =
  (stage: Stage, server: ServerSettings, role: "first" | "fallback") =>
  <A>(model: string, request: Effect.Effect<A, ProviderError>): Effect.Effect<A, ProviderError> =>
    Effect.flatMap(Clock.currentTimeMillis, (startedAt) =>
      Effect.onExit(request, (exit) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          const outcome = outcomeOf(exit)
          const record = recordProviderRequest({ stage, server: role, outcome, ms: now - startedAt })
          return outcome === "ok"
            ? record
            : Effect.zipRight(Effect.annotateCurrentSpan("error.type", outcome), record)
        }),
      ),
    ).pipe(
      Effect.withSpan(`${operations[stage]} ${model}`, {
        kind: "client",
        attributes: {
          "gen_ai.operation.name": operations[stage],
          "gen_ai.request.model": model,
          ...serverAttributes(server),
        },
      }),
    )
