import { Effect } from "effect"
import { Elysia } from "elysia"
import { Settings } from "../../config.ts"
import { sha256 } from "../../hash.ts"
import { makeRun } from "../run.ts"
import { makeDocs } from "./docs.ts"
import { makeDocument, operationIds, type Route } from "./document.ts"
import { makeExamples } from "./failures.ts"
import { Html } from "./html.ts"

const stylesheet = new URL("./docs.css", import.meta.url)

/** Allows the page's inline style sheet by its hash, and nothing else: the page has no script and loads nothing. */
const contentSecurity = (styles: string) =>
  [
    "default-src 'none'",
    `style-src 'sha256-${sha256(styles, "base64")}'`,
    "img-src data:",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ")

/** The OpenAPI document and its HTML page. `routes` is read with the first request: by then all routes exist. */
export const documentRoutes = Effect.fnUntraced(function* (routes: () => ReadonlyArray<Route>) {
  const run = yield* makeRun
  const examples = makeExamples(yield* Settings)
  const document = yield* Effect.cached(Effect.sync(() => makeDocument(routes(), examples)))
  const json = yield* Effect.cached(Effect.map(document, (made) => JSON.stringify(made)))
  const docs = yield* Effect.cached(
    Effect.gen(function* () {
      const styles = yield* Effect.promise(() => Bun.file(stylesheet).text())
      return {
        page: makeDocs(yield* document, operationIds(routes()), new Html(styles)),
        policy: contentSecurity(styles),
      }
    }),
  )
  const headers = { "cache-control": "no-cache", "x-content-type-options": "nosniff" }

  return new Elysia()
    .get("/openapi.json", ({ request }) =>
      run(
        request,
        Effect.map(
          json,
          (text) => new Response(text, { headers: { ...headers, "content-type": "application/json" } }),
        ),
      ),
    )
    .get("/docs", ({ request }) =>
      run(
        request,
        Effect.map(
          docs,
          ({ page, policy }) =>
            new Response(page, {
              headers: {
                ...headers,
                "content-type": "text/html; charset=utf-8",
                "content-security-policy": policy,
                "referrer-policy": "no-referrer",
              },
            }),
        ),
      ),
    )
})
