import { Option, Predicate, Schema } from "effect"
import { flawWithin, storable } from "../../conversation/model.ts"
import { placeIn } from "../../text/braces.ts"
import { longestOutput } from "../runnable.ts"
import { withoutReferences } from "../secrets.ts"
import { urlArguments, urlTemplateFault } from "./url-template.ts"

/** As OpenAI and most other servers accept names. */
export const ToolName = Schema.String.pipe(
  Schema.pattern(/^[a-zA-Z0-9_-]{1,64}$/, {
    message: () => "must have 1 to 64 letters, digits, _ or -",
  }),
)

/** Characters of a JSON Schema. It is part of every request to the model. */
export const maxSchemaLength = 16_384

/** The JSON Schema of a tool's arguments, which are an object. */
const ToolParameters = Schema.Record({ key: Schema.String, value: Schema.Unknown }).pipe(
  Schema.filter((schema) =>
    (schema.type === undefined || schema.type === "object") &&
    (schema.properties === undefined || Predicate.isRecord(schema.properties))
      ? undefined
      : 'must be the JSON Schema of an object: {"type": "object", "properties": {…}}',
  ),
  Schema.filter((schema) =>
    JSON.stringify(schema).length <= maxSchemaLength
      ? undefined
      : `must have at most ${maxSchemaLength} characters as JSON`,
  ),
  Schema.filter(flawWithin),
)

/** What the model reads about a tool. */
export const ToolDescription = Schema.optionalWith(
  Schema.String.pipe(Schema.maxLength(4096), Schema.filter(storable)),
  {
    exact: true,
  },
)

/** No arguments by default. */
export const OptionalToolParameters = Schema.optionalWith(ToolParameters, {
  exact: true,
  default: () => ({ type: "object", properties: {} }),
})

/** Headers that belong to the connection or to this service, and those that would change what the server receives. */
const ownHeaders = [
  "accept-encoding",
  "connection",
  "content-length",
  "expect",
  "host",
  "idempotency-key",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]

/** None: the header may be sent. Otherwise a sentence without its beginning. */
const headerFault = (name: string, value: string): Option.Option<string> => {
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) return Option.some("has an invalid name")
  if (ownHeaders.includes(name.toLowerCase()) || /^proxy-/i.test(name)) {
    return Option.some("is set by the service; leave it out")
  }
  const literal = withoutReferences(value)
  const braces = literal.indexOf("{{")
  if (braces >= 0) {
    return Option.some(
      `has {{ at ${placeIn(value, braces)} that begins no {{secret:NAME}}; a name has up to 64 letters, digits, _ or -, and begins with a letter`,
    )
  }
  // Other single braces are ordinary text: JSON, or a GUID.
  const single = literal.search(/\{\s*secret\s*:/i)
  if (single >= 0) {
    return Option.some(
      `has { at ${placeIn(value, single)}, which would be sent as text; write a secret with two braces, as {{secret:NAME}}`,
    )
  }
  return /^[\t\x20-\x7e]*$/.test(literal) ? Option.none() : Option.some("must be visible ASCII characters")
}

/** Headers of requests to a server that a user names. A value may refer to a secret: `Bearer {{secret:NAME}}`. */
export const ToolHeaders = Schema.Record({ key: Schema.String, value: Schema.String }).pipe(
  Schema.filter((headers) =>
    Object.entries(headers).flatMap(([name, value]) =>
      Option.match(headerFault(name, value), {
        onNone: () => [],
        onSome: (message) => [{ path: [name], message }],
      }),
    ),
  ),
)

/** Bytes of UTF-8. What the model reads of a result costs tokens, and time before the next word. */
export const defaultResultBytes = 16_384

/** Seconds. The user waits in silence, or hears a filler sentence. */
const defaultTimeout = 10
const maxTimeout = 120

const Method = Schema.Literal("GET", "POST", "PUT", "PATCH", "DELETE").annotations({
  message: () => ({ message: "must be GET, POST, PUT, PATCH or DELETE", override: true }),
})

/** A tool that is one HTTP request. Agents embed it. Optional fields are exact: an error then names one cause. */
export const HttpTool = Schema.Struct({
  type: Schema.Literal("http"),
  name: ToolName,
  description: ToolDescription,
  parameters: OptionalToolParameters,
  method: Schema.optionalWith(Method, {
    exact: true,
    default: () => "GET",
  }).annotations({
    description:
      "Arguments that the URL does not use are the query of GET and DELETE, and a JSON body otherwise.",
  }),
  url: Schema.String.pipe(
    Schema.maxLength(4096),
    Schema.filter(storable),
    Schema.filter((template) => Option.getOrUndefined(urlTemplateFault(template))),
  ).annotations({
    description:
      "`https://api.example.com/orders/{order_id}?expand={expand}`. `{name}` is an argument, percent-encoded. A query parameter may be a secret: `key={{secret:NAME}}`.",
  }),
  headers: Schema.optionalWith(ToolHeaders, { exact: true, default: () => ({}) }),
  timeoutSeconds: Schema.optionalWith(Schema.Number.pipe(Schema.between(0.1, maxTimeout)), {
    exact: true,
    default: () => defaultTimeout,
  }),
  isIdempotent: Schema.optionalWith(Schema.Boolean, { exact: true, default: () => false }).annotations({
    description:
      "True: the request may be repeated, also after its outcome was lost. Each repetition has the same `Idempotency-Key`.",
  }),
  maxResultBytes: Schema.optionalWith(Schema.Int.pipe(Schema.between(1, longestOutput)), {
    exact: true,
    default: () => defaultResultBytes,
  }),
}).pipe(
  Schema.filter(({ url, parameters }) => {
    const { properties = {}, additionalProperties = false } = parameters
    if (additionalProperties !== false || !Predicate.isRecord(properties)) return undefined
    return urlArguments(url)
      .filter((name) => !Object.hasOwn(properties, name))
      .map((name) => ({
        path: ["url"],
        message: `uses {${name}}, which parameters.properties does not have`,
      }))
  }),
)
export type HttpTool = typeof HttpTool.Type
