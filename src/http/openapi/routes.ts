import { Effect } from "effect"
import { Elysia } from "elysia"
import { Settings } from "../../config.ts"
import { makeDocument, type Route } from "./document.ts"
import { makeExamples } from "./failures.ts"

/** What the API is, for programs. `routes` is asked when the document is, by when there are all. */
export const documentRoutes = Effect.fnUntraced(function* (routes: () => ReadonlyArray<Route>) {
  const examples = makeExamples(yield* Settings)
  let made: string | undefined
  const document = () => {
    made ??= JSON.stringify(makeDocument(routes(), examples))
    return made
  }
  return new Elysia().get(
    "/openapi.json",
    () => new Response(document(), { headers: { "content-type": "application/json" } }),
  )
})
