import { Effect, Schema } from "effect"
import { Elysia } from "elysia"
import { Memories } from "../accounts/memories.ts"
import { signedIn } from "./auth.ts"
import { noBody, noContent } from "./no-body.ts"
import * as operations from "./openapi/operations/memories.ts"
import { MemoryList } from "./payloads.ts"
import { makeRun } from "./run.ts"

const encodeList = Schema.encodeSync(MemoryList)

/** What agents remember of the signed-in user. */
export const memoryRoutes = Effect.gen(function* () {
  const run = yield* makeRun
  const memories = yield* Memories

  return new Elysia({ prefix: "/memories" })
    .use(yield* signedIn("requests"))
    .get(
      "",
      ({ request, user }) =>
        run(
          request,
          Effect.map(memories.list(user.id), (list) => encodeList({ memories: list })),
        ),
      { detail: operations.list },
    )
    .delete("", ({ request, user }) => run(request, Effect.map(memories.removeAll(user.id), noContent)), {
      ...noBody,
      detail: operations.removeAll,
    })
    .delete(
      "/:id",
      ({ request, user, params }) => run(request, Effect.map(memories.remove(user.id, params.id), noContent)),
      { ...noBody, detail: operations.remove },
    )
})
