/** The OpenAPI document as an HTML page without scripts. */
import { Schema } from "effect"
import { schemaDetails, typeOf } from "./docs-schema.ts"
import { code, type Html, html, inline, prose } from "./html.ts"
import type { JsonSchema } from "./json-schema.ts"

const text = Schema.String
const Json = Schema.Record({ key: Schema.String, value: Schema.Unknown })
const by = <A, I>(value: Schema.Schema<A, I>) => Schema.Record({ key: Schema.String, value })

const Media = Schema.Struct({
  schema: Json,
  example: Schema.optional(Schema.Unknown),
  examples: Schema.optional(by(Schema.Struct({ value: Schema.Unknown }))),
})

const Parameter = Schema.Struct({
  name: text,
  in: text,
  required: Schema.optional(Schema.Boolean),
  description: Schema.optional(text),
  schema: Json,
})

const OperationObject = Schema.Struct({
  operationId: text,
  tags: Schema.Array(text),
  summary: text,
  description: Schema.optional(text),
  security: Schema.optional(Schema.Array(Json)),
  parameters: Schema.Array(Schema.Union(Parameter, Schema.Struct({ $ref: text }))),
  requestBody: Schema.optional(Schema.Struct({ required: Schema.Boolean, content: by(Media) })),
  responses: by(
    Schema.Struct({
      description: text,
      headers: Schema.optional(by(Schema.Unknown)),
      content: Schema.optional(by(Media)),
    }),
  ),
})

const Document = Schema.Struct({
  info: Schema.Struct({ title: text, version: text, description: text }),
  servers: Schema.Tuple(Schema.Struct({ url: text })),
  tags: Schema.Array(Schema.Struct({ name: text, description: text })),
  paths: by(by(OperationObject)),
  webhooks: by(by(OperationObject)),
  components: Schema.Struct({
    schemas: by(Json),
    headers: by(Schema.Struct({ description: text, schema: Json })),
  }),
})
type Operation = typeof OperationObject.Type
type Media = typeof Media.Type

interface Endpoint {
  readonly method: string
  readonly url: Html
  readonly operation: Operation
}

const exampleOf = (value: unknown) =>
  html`<pre tabindex="0">${typeof value === "string" ? value : JSON.stringify(value, null, 2)}</pre>`

const mediaOf = (content: Readonly<Record<string, Media>>): ReadonlyArray<Html> =>
  Object.entries(content).map(
    ([type, { schema, example, examples = {} }]) => html`<div class="media">
      <h5>${code(type)} ${typeOf(schema)}</h5>
      ${schemaDetails(schema)}
      ${example === undefined ? undefined : exampleOf(example)}
      ${Object.values(examples).map(({ value }) => exampleOf(value))}
    </div>`,
  )

const parametersOf = ({ parameters }: Operation) => {
  const own = parameters.filter((each) => "name" in each)
  if (own.length === 0) return undefined
  const rows = own.map(
    ({ name, in: place, required = false, description = "", schema }) => html`<dt>
        ${code(name)} <small>${place}, ${typeOf(schema)}${required ? ", required" : ""}</small>
      </dt>
      <dd>${prose(description)}</dd>`,
  )
  return html`<h4>Parameters</h4><dl>${rows}</dl>`
}

const requestOf = ({ requestBody }: Operation) =>
  requestBody === undefined
    ? undefined
    : html`<h4>Body${requestBody.required ? "" : " (optional)"}</h4>${mediaOf(requestBody.content)}`

const headerLink = (name: string) => html`<a href="#header-${name}">${name}</a> `

const responsesOf = ({ responses }: Operation) =>
  Object.entries(responses).map(
    ([
      status,
      { description, headers = {}, content = {} },
    ]) => html`<details${status.startsWith("2") ? html` open` : ""}>
      <summary><b class="s${status.slice(0, 1)}">${status}</b> ${inline(description)}</summary>
      ${Object.keys(headers).length === 0 ? undefined : html`<p class="headers">Headers: ${Object.keys(headers).map(headerLink)}</p>`}
      ${mediaOf(content)}
    </details>`,
  )

const operationOf = ({ method, url, operation }: Endpoint) =>
  html`<section id="${operation.operationId}">
    <h3>${operation.summary}</h3>
    <p class="route"><b class="${method}">${method.toUpperCase()}</b> ${url}
      ${operation.security === undefined ? undefined : html`<small>no API key</small>`}</p>
    ${prose(operation.description ?? "")}
    ${parametersOf(operation)}
    ${requestOf(operation)}
    <h4>Responses</h4>
    ${responsesOf(operation)}
  </section>`

const component = ([name, schema]: readonly [string, JsonSchema]) =>
  html`<section id="schema-${name}"><h3>${name}</h3>${schemaDetails({ ...schema })}</section>`

/** `order`: the operations' ids. */
export const makeDocs = (document: unknown, order: ReadonlyArray<string>, styles: Html): string => {
  const { info, servers, tags, paths, webhooks, components } = Schema.decodeUnknownSync(Document)(document)
  const [{ url: base }] = servers
  const endpointsOf = (all: typeof paths, urlOf: (path: string) => Html): ReadonlyArray<Endpoint> =>
    Object.entries(all).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ method, url: urlOf(path), operation })),
    )
  const positionOf = ({ operation }: Endpoint) => order.indexOf(operation.operationId)
  const endpoints = [
    ...endpointsOf(paths, (path) => code(`${base}${path}`)).toSorted((a, b) => positionOf(a) - positionOf(b)),
    ...endpointsOf(webhooks, () => html`<i>the URL of the webhook</i>`),
  ]
  const groups = tags.map((tag) => ({
    ...tag,
    operations: endpoints.filter(({ operation }) => operation.tags.includes(tag.name)),
  }))
  const link = ({ operation }: Endpoint) =>
    html`<li><a href="#${operation.operationId}">${operation.summary}</a></li>`
  const group = ({ name, description, operations }: (typeof groups)[number]) =>
    html`<h2 id="${name}">${name}</h2>${prose(description)}${operations.map(operationOf)}`
  const header = ([name, { description, schema }]: readonly [
    string,
    { description: string; schema: JsonSchema },
  ]) =>
    html`<dt id="header-${name}">${code(name)} <small>${typeOf(schema)}</small></dt><dd>${prose(description)}</dd>`

  return html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <title>${info.title} API</title>
    <link rel="icon" href="data:," />
    <style>${styles}</style>
  </head>
  <body>
    <header>
      <h1>${info.title} API <small>${info.version}</small></h1>
      ${prose(info.description)}
      <p>The OpenAPI 3.1 document is at <a href="openapi.json">openapi.json</a>. Send
      ${code("Authorization: Bearer sk_…")} with every request, except to operations marked “no API key”.</p>
    </header>
    <nav aria-label="Operations">
      ${groups.map(({ name, operations }) => html`<h2><a href="#${name}">${name}</a></h2><ul>${operations.map(link)}</ul>`)}
      <h2><a href="#headers">Headers</a></h2>
      <h2><a href="#schemas">Schemas</a></h2>
    </nav>
    <main>
      ${groups.map(group)}
      <h2 id="headers">Headers</h2>
      <dl>${Object.entries(components.headers).map(header)}</dl>
      <h2 id="schemas">Schemas</h2>
      ${Object.entries(components.schemas).map(component)}
    </main>
  </body>
</html>
`.text
}
