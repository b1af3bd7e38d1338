import { Effect, Option, Redacted } from "effect"
import type { ServerSettings, Settings } from "../../config.ts"
import { Stage } from "../../schema.ts"
import { type Finding, messageOf, ok, problem, warning } from "./finding.ts"

/** In ms. */
const patienceMs = 5000

const idsOf = (body: unknown): ReadonlyArray<unknown> | undefined => {
  if (typeof body !== "object" || body === null || !("data" in body) || !Array.isArray(body.data))
    return undefined
  return body.data.map((each: unknown) =>
    typeof each === "object" && each !== null && "id" in each ? each.id : undefined,
  )
}

/** The list of models costs nothing anywhere. A key is sent where the service would send it, and nowhere else. */
const look = async (
  check: string,
  stage: string,
  server: ServerSettings,
  baseUrl: string,
): Promise<Finding> => {
  const { host } = new URL(baseUrl)
  const askedAt = Date.now()
  const answer = await fetch(`${baseUrl}/models`, {
    headers: { authorization: `Bearer ${Redacted.value(server.apiKey)}` },
    redirect: "error",
    signal: AbortSignal.timeout(patienceMs),
  })
  const text = await answer.text()
  const now = Date.now()
  const date = Date.parse(answer.headers.get("date") ?? "")
  // The header has whole seconds: half of one is the likeliest.
  const ahead = Number.isNaN(date) ? {} : { aheadMs: date + 500 - (askedAt + now) / 2 }
  const finding = (): Finding => {
    const { status } = answer
    const name = stage.toUpperCase()
    if (status === 401 || status === 403) {
      return problem(
        check,
        `${host} refuses the key (${status})`,
        `Set OPENAI_API_KEY or ${name}_API_KEY to a valid key.`,
      )
    }
    if (status === 404 || status === 405)
      return ok(check, `${host} answers; it lists no models, so that the key is not checked`)
    if (!answer.ok) {
      return warning(
        check,
        `${host} answers with status ${status}`,
        "Look at the provider's status page, and try again.",
      )
    }
    let ids: ReadonlyArray<unknown> | undefined
    try {
      ids = idsOf(JSON.parse(text))
    } catch {
      ids = undefined
    }
    if (ids === undefined) {
      return warning(
        check,
        `${host} answers with no list of models`,
        `See whether ${name}_BASE_URL ends as the server wants it, in /v1 mostly.`,
      )
    }
    if (!ids.includes(server.model)) {
      return warning(
        check,
        `${host} does not list the model "${server.model}"`,
        `See whether ${name}_MODEL is right; some servers list not all that they have.`,
      )
    }
    return ok(check, `${server.model} at ${host}, ${now - askedAt} ms`)
  }
  return { ...finding(), ...ahead }
}

const checkServer = (stage: Stage, server: ServerSettings, isFallback: boolean) =>
  Option.match(server.baseUrl, {
    onNone: () => Effect.succeed([]),
    onSome: (baseUrl) => {
      const check = isFallback ? `${stage} fallback` : stage
      return Effect.tryPromise(() => look(check, stage, server, baseUrl)).pipe(
        Effect.catchAll(({ error }) => {
          const found = `${new URL(baseUrl).host} could not be reached: ${messageOf(error)}`
          const advice = `See whether the network is there, and ${isFallback ? `${stage.toUpperCase()}_FALLBACK_BASE_URL` : `${stage.toUpperCase()}_BASE_URL or OPENAI_BASE_URL`} right.`
          return Effect.succeed((isFallback ? warning : problem)(check, found, advice))
        }),
        Effect.map((finding) => [
          isFallback && finding.state === "problem" ? { ...finding, state: "warning" as const } : finding,
        ]),
      )
    },
  })

/** Who each stage asks, but for the offline engines. */
export const checkProviders = (settings: Settings["Type"]) =>
  Effect.map(
    Effect.forEach(
      Stage.literals.flatMap((stage) => [
        checkServer(stage, settings[stage], false),
        ...Option.match(settings[stage].fallback, {
          onNone: () => [],
          onSome: (server) => [checkServer(stage, server, true)],
        }),
      ]),
      (found) => found,
      { concurrency: "unbounded" },
    ),
    (found) => found.flat(),
  )
