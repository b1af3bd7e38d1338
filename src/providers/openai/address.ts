import { Option, Redacted } from "effect"
import type { ServerSettings } from "../../config.ts"

/** The URL of a route of the server. A query of the base URL, such as Azure's `?api-version=…`, stays at the end. */
export const routeOf = (baseUrl: string, route: string): string => {
  const url = new URL(baseUrl)
  url.pathname = `${url.pathname.replace(/\/+$/, "")}${route}`
  return url.href
}

/** Azure's hosts for models. They take the key in a header of their own. */
const azureHosts = /\.(openai|cognitiveservices|services\.ai)\.azure\.(com|us|cn)$/i

/** The name of the header with the key; None: `Authorization`, as a bearer token. */
const keyHeaderOf = ({ baseUrl, keyHeader }: ServerSettings): Option.Option<string> =>
  Option.orElse(keyHeader, () =>
    Option.filter(Option.some("api-key"), () =>
      Option.exists(baseUrl, (url) => azureHosts.test(new URL(url).hostname)),
    ),
  ).pipe(Option.filter((name) => name.toLowerCase() !== "authorization"))

/** The headers with the server's key. */
export const keyHeaders = (server: ServerSettings): Readonly<Record<string, string>> => {
  const key = Redacted.value(server.apiKey)
  return Option.match(keyHeaderOf(server), {
    onNone: () => ({ authorization: `Bearer ${key}` }),
    onSome: (name) => ({ [name]: key }),
  })
}
