import { beforeAll, expect, test } from "bun:test"
import * as BunContext from "@effect/platform-bun/BunContext"
import { ConfigProvider, Effect, Layer } from "effect"
import { Settings } from "../../src/config.ts"
import { documentRoutes } from "../../src/http/openapi/routes.ts"

const settings = Settings.layer.pipe(
  Layer.provide(BunContext.layer),
  Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["OPENAI_API_KEY", "sk-test"]])))),
)

let app: Effect.Effect.Success<ReturnType<typeof documentRoutes>>
let listed = 0
let failures = 0
beforeAll(async () => {
  const routes = () => {
    listed += 1
    if (failures-- > 0) throw new Error("a transient failure")
    return []
  }
  app = await Effect.runPromise(Effect.provide(documentRoutes(routes), settings))
})

const ask = (path: string, signal?: AbortSignal) =>
  app.handle(new Request(`http://localhost${path}`, signal === undefined ? {} : { signal }))

for (const path of ["/openapi.json", "/docs"]) {
  test(`${path} is there after a client left and a failure`, async () => {
    failures = 1
    const client = new AbortController()
    const left = ask(path, client.signal)
    client.abort()
    expect((await left).status).not.toBe(200)
    failures = 1
    expect((await ask(path)).status).not.toBe(200)
    expect((await ask(path)).status).toBe(200)
    const before = listed
    expect((await ask(path)).status).toBe(200)
    expect(listed).toBe(before)
  })
}

test("two clients at once get one document", async () => {
  const answers = await Promise.all([ask("/openapi.json"), ask("/openapi.json")])
  expect(answers.map(({ status }) => status)).toEqual([200, 200])
})
