import { Either, Predicate, Record } from "effect"
import type { OutboundRequest } from "../../outbound/redirect.ts"
import { insertSecrets, type Secrets } from "../secrets.ts"
import type { HttpTool } from "./definition.ts"
import { renderUrl, urlArguments } from "./url-template.ts"

type Arguments = Readonly<Record<string, unknown>>

/**
 * The arguments that the schema declares; all, where it allows others. A model could otherwise add parameters that the owner
 * of the tool does not know of.
 */
const declared = ({ parameters }: HttpTool, values: Arguments): Arguments => {
  const { properties = {}, additionalProperties = false } = parameters
  if (additionalProperties !== false || !Predicate.isRecord(properties)) return values
  return Record.filter(values, (_, name) => Object.hasOwn(properties, name))
}

const defaultHeaders = {
  accept: "application/json, text/*;q=0.9, */*;q=0.1",
  "user-agent": "voice-agent",
}

/** As `fetch`, in lower case: a header of the tool replaces a default one. */
const headersOf = ({ headers }: HttpTool, secrets: Secrets): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), insertSecrets(value, secrets)]),
  )

const isHeaderValue = (value: string) => /^[\t\x20-\x7e\x80-\xff]*$/.test(value)

/** The request of one call. Left is what to tell the model. */
export const toRequest = (
  tool: HttpTool,
  { values, idempotencyKey }: { readonly values: Arguments; readonly idempotencyKey: string },
  secrets: Secrets,
): Either.Either<OutboundRequest, string> => {
  const used = urlArguments(tool.url)
  const given = declared(tool, values)
  const rest = Record.filter(given, (_, name) => !used.includes(name))
  const hasBody = tool.method !== "GET" && tool.method !== "DELETE"
  const headers = headersOf(tool, secrets)
  if (!Object.values(headers).every(isHeaderValue)) {
    return Either.left(
      "A secret of this tool has a character that no header can have. Its owner has to change it.",
    )
  }
  return Either.map(renderUrl(tool.url, given, secrets, hasBody ? {} : rest), (url) => ({
    url,
    method: tool.method,
    headers: {
      ...defaultHeaders,
      ...(hasBody ? { "content-type": "application/json" } : {}),
      ...headers,
      "idempotency-key": idempotencyKey,
    },
    body: hasBody ? JSON.stringify(rest) : undefined,
  }))
}
