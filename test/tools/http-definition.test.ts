import { expect, test } from "bun:test"
import { Either, ParseResult, Schema } from "effect"
import { HttpTool } from "../../src/tools/http/definition.ts"

const minimal = { type: "http", name: "get_time", url: "https://api.example.com/time" }

const order = {
  ...minimal,
  name: "get_order",
  parameters: { type: "object", properties: { order_id: { type: "string" }, expand: { type: "string" } } },
  url: "https://api.example.com/orders/{order_id}?expand={expand}&key={{secret:ORDERS_KEY}}",
  headers: { authorization: "Bearer {{ secret:ORDERS_KEY }}", "x-source": "voice" },
}

const faults = (definition: unknown): ReadonlyArray<string> =>
  Either.match(Schema.decodeUnknownEither(HttpTool, { errors: "all" })(definition), {
    onLeft: (error) =>
      ParseResult.ArrayFormatter.formatErrorSync(error).map(
        ({ path, message }) => `${path.join(".")}: ${message}`,
      ),
    onRight: () => [],
  })

test("defaults", () => {
  expect(Schema.decodeUnknownSync(HttpTool)(minimal)).toEqual({
    type: "http",
    name: "get_time",
    url: "https://api.example.com/time",
    parameters: { type: "object", properties: {} },
    method: "GET",
    headers: {},
    timeoutSeconds: 10,
    isIdempotent: false,
    maxResultBytes: 16_384,
  })
  expect(faults(order)).toEqual([])
  expect(faults({ ...minimal, url: "http://10.0.0.1:8080/x" })).toEqual([])
})

test.each([
  ["name", { name: "get order" }],
  ["name", { name: "" }],
  ["name", { name: "a".repeat(65) }],
  ["method", { method: "TRACE" }],
  ["description", { description: "a".repeat(4097) }],
  ["description", { description: "a\0b" }],
  ["description", { description: "\ud800" }],
  ["parameters", { parameters: { type: "object", description: "\udc00" } }],
  ["parameters", { parameters: { type: "object", properties: { "a\0": {} } } }],
  ["url", { url: "https://api.example.com/\ud800" }],
  ["url", { url: "" }],
  ["url", { url: "api.example.com" }],
  ["url", { url: "ftp://api.example.com" }],
  ["url", { url: "file:///etc/passwd" }],
  ["url", { url: "https://{host}/x" }],
  ["url", { url: "https://api.example.com:{port}/x" }],
  ["url", { url: "https://{{secret:HOST}}/x" }],
  ["url", { url: "https://user:password@api.example.com/x" }],
  ["url", { url: "https://api.example.com/{{secret:KEY}}" }],
  ["url", { url: "https://api.example.com/#{a}" }],
  ["url", { url: "https://api.example.com/{a" }],
  ["url", { url: "https://api.example.com/a}" }],
  ["url", { url: "https://api.example.com/{a b}" }],
  ["url", { url: "https://api.example.com/?q={order_id}{expand}" }],
  ["url", { url: "https://api.example.com/{other}" }],
  ["parameters", { parameters: { type: "string" } }],
  ["parameters", { parameters: { properties: [] } }],
  ["parameters", { parameters: { type: "object", description: "a".repeat(20_000) } }],
  ["headers.Host", { headers: { Host: "10.0.0.1" } }],
  ["headers.Transfer-Encoding", { headers: { "Transfer-Encoding": "chunked" } }],
  ["headers.Idempotency-Key", { headers: { "Idempotency-Key": "1" } }],
  ["headers.Proxy-Authorization", { headers: { "Proxy-Authorization": "a" } }],
  ["headers.a b", { headers: { "a b": "c" } }],
  ["headers.x", { headers: { x: "a\r\nb: c" } }],
  ["headers.x", { headers: { x: "é" } }],
  ["headers.x", { headers: { x: "{{secret}}" } }],
  ["timeoutSeconds", { timeoutSeconds: 0 }],
  ["timeoutSeconds", { timeoutSeconds: 600 }],
  ["maxResultBytes", { maxResultBytes: 1.5 }],
  ["maxResultBytes", { maxResultBytes: 1_000_000 }],
  ["isIdempotent", { isIdempotent: "yes" }],
])("fault in %s #%#", (field, change) => {
  const found = faults({ ...order, ...change })
  expect(found).toHaveLength(1)
  expect(found[0]).toStartWith(`${field}: `)
})

test("several faults are named at once", () => {
  const found = faults({ ...minimal, name: "a b", url: "x", headers: { host: "a", te: "b" } })
  expect(found.map((each) => each.split(":")[0])).toEqual(["name", "url", "headers.host", "headers.te"])
})

test("arguments beyond properties, where the schema allows them", () => {
  const parameters = { type: "object", additionalProperties: true }
  expect(faults({ ...minimal, parameters, url: "https://api.example.com/{anything}" })).toEqual([])
})

test.each(["{{ x y }}", "{{a}", "{{1a}}", "{{}}", "{{ }}", "{{a}}", "{{secret:1}}", "{{secret:}}"])(
  "braces that are no placeholder: %s",
  (braces) => {
    expect(faults({ ...minimal, url: `https://api.example.com/?q=${braces}` })).toEqual([
      expect.stringMatching(/^url: has a brace at character (28|31|32) that belongs to no \{argument\}/),
    ])
    expect(faults({ ...minimal, headers: { "x-a": `Bearer ${braces}` } })).toEqual([
      expect.stringMatching(/^headers\.x-a: has \{\{ at character 8 that begins no \{\{secret:NAME\}\}/),
    ])
  },
)

test.each(["{secret:K}", "{ secret:K }", "{Secret: K}", "{secret:K}}", "%{secret:K}", "{secret:}"])(
  "a secret with single braces: %s",
  (braces) => {
    expect(faults({ ...minimal, headers: { "x-a": `Bearer {{secret:K}} ${braces}` } })).toEqual([
      expect.stringMatching(
        /^headers\.x-a: has \{ at character 2[12], .* with two braces, as \{\{secret:NAME\}\}$/,
      ),
    ])
  },
)

test.each(['{"secret":"a"}', "{ab12-34}", "secret:K", "{}"])("braces that are text: %s", (value) =>
  expect(faults({ ...minimal, headers: { "x-a": value } })).toEqual([]),
)

test("braces beside a secret", () => {
  const url = "https://api.example.com/?key={{secret:KEY}}&q={"
  expect(faults({ ...minimal, url })).toEqual([expect.stringContaining("a brace at character 47 ")])
})
