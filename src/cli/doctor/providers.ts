import { Array as Arr, Config, Effect, Option, Predicate } from "effect"
import type { ServerSettings, Settings } from "../../config.ts"
import { describeLessons } from "../../providers/lessons.ts"
import { isAzure, keyHeaders, modelsRouteOf } from "../../providers/openai/address.ts"
import { Stage } from "../../schema.ts"
import { type Finding, messageOf, ok, problem, warning } from "./finding.ts"
import { findModel } from "./models.ts"

const timeoutMs = 5000

type StoredLessons<R> = Effect.Effect<Parameters<typeof describeLessons>[0], never, R>

/** What the variables of a server begin with: `LLM` or `LLM_FALLBACK`. */
const prefixOf = (stage: Stage, isFallback: boolean) =>
  `${stage.toUpperCase()}${isFallback ? "_FALLBACK" : ""}`

interface Asked {
  readonly check: string
  readonly stage: Stage
  readonly isFallback: boolean
  readonly server: ServerSettings
  readonly baseUrl: string
  /** The variable with the base URL. None: it is OpenAI's. */
  readonly urlVariable: Option.Option<string>
}

/** A path such as /v1, /v1beta/openai or /openai/deployments/gpt. */
const hasVersion = (server: ServerSettings, baseUrl: string) =>
  isAzure(server) || /\/v\d/.test(new URL(baseUrl).pathname)

/** Requests the list of models, which is free at every provider. The key goes where the service would send it. */
const listModels = async ({
  check,
  stage,
  isFallback,
  server,
  baseUrl,
  urlVariable,
}: Asked): Promise<Finding> => {
  const { host } = new URL(baseUrl)
  const sentAt = Date.now()
  const answer = await fetch(modelsRouteOf(baseUrl), {
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
    const name = prefixOf(stage, isFallback)
    const urlName = Option.getOrElse(urlVariable, () => `${name}_BASE_URL`)
    const correctPath = `Check the path of ${urlName}. Most servers expect it to end in /v1.`
    if (status === 401 || status === 403) {
      return problem(
        check,
        `${host} refuses the key (${status})`,
        `Set ${isFallback ? "" : "OPENAI_API_KEY or "}${name}_API_KEY to a valid key.`,
      )
    }
    const unlisted = ok(check, `${host} answers; it lists no models, so the key is not checked`)
    if (status === 404 && !hasVersion(server, baseUrl)) {
      return warning(
        check,
        `${host} answers, but not at ${new URL(modelsRouteOf(baseUrl)).pathname} (404)`,
        correctPath,
      )
    }
    if (status === 404 || status === 405 || status === 501) return unlisted
    if (!answer.ok) {
      return warning(
        check,
        `${host} answers with status ${status}`,
        "Check the provider's status page and try again.",
      )
    }
    const found = findModel(text, server.model)
    if (found === "no list") return unlisted
    if (found === "no JSON") {
      return warning(check, `${host} answers with no list of models`, correctPath)
    }
    if (found === "not listed" && isAzure(server)) {
      return ok(check, `${host} accepts the key; it does not list deployments such as ${server.model}`)
    }
    if (found === "not listed") {
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

/** Adds what the service learned about the server and its model. */
const withLessons = (finding: Finding, learned: string): Finding =>
  learned === "" ? finding : { ...finding, found: `${finding.found}; learned: ${learned}` }

/** The variable that names the server. None: no variable, so it is OpenAI's. */
const variableOf = (stage: Stage, isFallback: boolean): Effect.Effect<Option.Option<string>> => {
  const names = [`${prefixOf(stage, isFallback)}_BASE_URL`, ...(isFallback ? [] : ["OPENAI_BASE_URL"])]
  return Effect.map(
    Effect.filter(names, (name) =>
      Effect.match(Config.string(name), {
        onFailure: () => false,
        onSuccess: (value) => value.trim() !== "",
      }),
    ),
    Arr.head,
  )
}

const checkServer = <R>(
  stage: Stage,
  server: ServerSettings,
  isFallback: boolean,
  lessons: StoredLessons<R>,
) =>
  Option.match(server.baseUrl, {
    onNone: () => Effect.succeed([]),
    onSome: (baseUrl) => {
      const check = isFallback ? `${stage} fallback` : stage
      return variableOf(stage, isFallback).pipe(
        Effect.flatMap((urlVariable) =>
          Effect.tryPromise(() => listModels({ check, stage, isFallback, server, baseUrl, urlVariable })),
        ),
        Effect.catchAll(({ error }) => {
          const { host } = new URL(baseUrl)
          const isRefused = Predicate.hasProperty(error, "code") && error.code === "ECONNREFUSED"
          const found = isRefused
            ? `${host} refused the connection`
            : `${host} could not be reached: ${messageOf(error)}`
          return Effect.map(variableOf(stage, isFallback), (variable) => {
            const otherwise = Option.match(variable, {
              onNone: () => "Check the network.",
              onSome: (name) =>
                isRefused ? `Start the server there, or correct ${name}.` : `Check the network and ${name}.`,
            })
            return (isFallback ? warning : problem)(check, found, otherwise)
          })
        }),
        Effect.zipWith(lessons, (finding, rows) =>
          withLessons(finding, describeLessons(rows, { stage, baseUrl, model: server.model })),
        ),
        Effect.map((finding) => [
          isFallback && finding.state === "problem" ? { ...finding, state: "warning" as const } : finding,
        ]),
      )
    },
  })

/** The servers of every stage. The offline engines have a check of their own. */
export const checkProviders = <R>(settings: Settings["Type"], lessons: StoredLessons<R>) =>
  Effect.map(
    Effect.forEach(
      Stage.literals.flatMap((stage) => [
        checkServer(stage, settings[stage], false, lessons),
        ...Option.match(settings[stage].fallback, {
          onNone: () => [],
          onSome: (server) => [checkServer(stage, server, true, lessons)],
        }),
      ]),
      (found) => found,
      { concurrency: "unbounded" },
    ),
    (found) => found.flat(),
  )
