import { Effect, Option } from "effect"
import type { ServerSettings, Settings } from "../../config.ts"
import { keyHeaders, routeOf } from "../../providers/openai/address.ts"
import { Stage } from "../../schema.ts"
import { type Finding, messageOf, ok, problem, warning } from "./finding.ts"

const timeoutMs = 5000

/** The ids of a list of models; undefined where it is no such list. */
const idsOf = (body: unknown): ReadonlyArray<unknown> | undefined => {
  if (typeof body !== "object" || body === null || !("data" in body) || !Array.isArray(body.data))
    return undefined
  return body.data.map((each: unknown) =>
    typeof each === "object" && each !== null && "id" in each ? each.id : undefined,
  )
}

/** Requests the list of models, which is free at every provider. The key goes where the service would send it. */
const listModels = async (
  check: string,
  stage: string,
  server: ServerSettings,
  baseUrl: string,
): Promise<Finding> => {
  const { host } = new URL(baseUrl)
  const sentAt = Date.now()
  const answer = await fetch(routeOf(baseUrl, "/models"), {
    headers: keyHeaders(server),
    redirect: "error",
    signal: AbortSignal.timeout(timeoutMs),
  })
  const text = await answer.text()
  const now = Date.now()
  const date = Date.parse(answer.headers.get("date") ?? "")
  // The header has whole seconds, so it is half a second early on average.
  const ahead = Number.isNaN(date) ? {} : { aheadMs: date + 500 - (sentAt + now) / 2 }
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
      return ok(check, `${host} answers; it lists no models, so the key is not checked`)
    if (!answer.ok) {
      return warning(
        check,
        `${host} answers with status ${status}`,
        "Check the provider's status page and try again.",
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
        `Check the path of ${name}_BASE_URL. Most servers expect it to end in /v1.`,
      )
    }
    if (!ids.includes(server.model)) {
      return warning(
        check,
        `${host} does not list the model "${server.model}"`,
        `Check ${name}_MODEL. Some servers do not list all their models.`,
      )
    }
    return ok(check, `${server.model} at ${host}, ${now - sentAt} ms`)
  }
  return { ...finding(), ...ahead }
}

const checkServer = (stage: Stage, server: ServerSettings, isFallback: boolean) =>
  Option.match(server.baseUrl, {
    onNone: () => Effect.succeed([]),
    onSome: (baseUrl) => {
      const check = isFallback ? `${stage} fallback` : stage
      return Effect.tryPromise(() => listModels(check, stage, server, baseUrl)).pipe(
        Effect.catchAll(({ error }) => {
          const found = `${new URL(baseUrl).host} could not be reached: ${messageOf(error)}`
          const name = stage.toUpperCase()
          const variable = isFallback ? `${name}_FALLBACK_BASE_URL` : `${name}_BASE_URL or OPENAI_BASE_URL`
          const advice = `Check the network and ${variable}.`
          return Effect.succeed((isFallback ? warning : problem)(check, found, advice))
        }),
        Effect.map((finding) => [
          isFallback && finding.state === "problem" ? { ...finding, state: "warning" as const } : finding,
        ]),
      )
    },
  })

/** The servers of every stage. The offline engines have a check of their own. */
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
