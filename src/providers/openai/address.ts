import { Option, Redacted } from "effect"
import type { ServerSettings } from "../../config.ts"

/** The URL of a route of the server. A query of the base URL, such as Azure's `?api-version=…`, stays at the end. */
const routeOf = (baseUrl: string, route: string): string => {
  const url = new URL(baseUrl)
  url.pathname = `${url.pathname.replace(/\/+$/, "")}${route}`
  return url.href
}

/** The list of models. Azure's older base URLs name one deployment, and the list is beside it. */
export const modelsRouteOf = (baseUrl: string): string =>
  routeOf(new URL(baseUrl.replace(deployment, "")).href, "/models")

/** The end of the path of Azure's older base URLs. */
const deployment = /\/deployments\/[^/?]+\/?(?=$|\?)/

/** Azure's hosts for models. They take the key in a header of their own. */
const azureHosts = /\.(openai|cognitiveservices|services\.ai)\.azure\.(com|us|cn)$/i

const azureKeyHeader = "api-key"

/** A base URL of Azure, old (`/openai/deployments/NAME`) or new (`/openai/v1`). */
const isAzureUrl = (baseUrl: string) => {
  const { hostname, pathname } = new URL(baseUrl)
  return azureHosts.test(hostname) || deployment.test(pathname)
}

/** The name of the header with the key; None: `Authorization`, as a bearer token. */
const keyHeaderOf = ({ baseUrl, keyHeader }: ServerSettings): Option.Option<string> =>
  Option.orElse(keyHeader, () =>
    Option.filter(Option.some(azureKeyHeader), () => Option.exists(baseUrl, isAzureUrl)),
  ).pipe(Option.filter((name) => name.toLowerCase() !== "authorization"))

/** True for Azure, also behind another host: it lists models, and not the deployments that requests name. */
export const isAzure = (server: ServerSettings): boolean =>
  Option.contains(keyHeaderOf(server), azureKeyHeader)

/** The headers with the server's key. */
export const keyHeaders = (server: ServerSettings): Readonly<Record<string, string>> => {
  const key = Redacted.value(server.apiKey)
  return Option.match(keyHeaderOf(server), {
    onNone: () => ({ authorization: `Bearer ${key}` }),
    onSome: (name) => ({ [name]: key }),
  })
}
