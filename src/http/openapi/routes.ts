import { Duration, Effect } from "effect"
import { Elysia } from "elysia"
import { Settings } from "../../config.ts"
import { sha256 } from "../../hash.ts"
import { makeRun } from "../run.ts"
import type { Route } from "./document.ts"

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

/** The result of the first run that succeeds. One that fails, or whose client leaves, is not kept: the next one starts anew. */
const keepSuccess = <A, E, R>(make: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.cachedInvalidateWithTTL(make, Duration.infinity), ([kept, forget]) =>
    Effect.onError(kept, () => forget),
  )

/**
 * The OpenAPI document and its HTML page. They are loaded and made with the first request: by then all routes exist, and the
 * start of the service takes 0.1 s less.
 */
export const documentRoutes = Effect.fnUntraced(function* (routes: () => ReadonlyArray<Route>) {
  const run = yield* makeRun
  const settings = yield* Settings
  const document = yield* keepSuccess(
    Effect.promise(async () => {
      const [{ makeDocument }, { makeExamples }] = await Promise.all([
        import("./document.ts"),
        import("./failures.ts"),
      ])
      return makeDocument(routes(), makeExamples(settings))
    }),
  )
  const json = yield* keepSuccess(Effect.map(document, (made) => JSON.stringify(made)))
  const docs = yield* keepSuccess(
    Effect.gen(function* () {
      const [styles, { makeDocs }, { operationIds }, { Html }] = yield* Effect.promise(() =>
        Promise.all([
          Bun.file(stylesheet).text(),
          import("./docs.ts"),
          import("./document.ts"),
          import("./html.ts"),
        ]),
      )
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
