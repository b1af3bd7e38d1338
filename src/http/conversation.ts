import * as FileSystem from "@effect/platform/FileSystem"
import { Effect, type FiberSet, Option } from "effect"
import { Elysia } from "elysia"
import { Settings } from "../config.ts"
import { RunningTurns } from "../sessions/running-turns.ts"
import { Turns } from "../turn/take-turn.ts"
import { negotiate } from "./accept.ts"
import { signedIn } from "./auth.ts"
import { ValidationFailed } from "./errors.ts"
import { renderings } from "./renderings.ts"
import { makeRun } from "./run.ts"
import { runsOn, streamed } from "./streaming.ts"
import { receiveUpload } from "./upload.ts"

/** As long as Stripe's, and of characters that every log and header can hold. */
const isKey = (key: string) => /^[!-~]{1,255}$/.test(key)

const idempotencyKey = (request: Request) =>
  Effect.transposeOption(
    Option.map(Option.fromNullable(request.headers.get("idempotency-key")), (key) =>
      isKey(key)
        ? Effect.succeed(key)
        : new ValidationFailed({ message: "Idempotency-Key: must be 1 to 255 visible ASCII characters" }),
    ),
  )

/** A turn: the recording comes in, and the reply goes out as the client asked for it. */
export const conversationRoutes = Effect.fnUntraced(function* (unattended: FiberSet.FiberSet) {
  const run = yield* makeRun
  const turns = yield* Turns
  const running = yield* RunningTurns
  const fs = yield* FileSystem.FileSystem
  const settings = yield* Settings

  return new Elysia({ prefix: "/voice" })
    .use(yield* signedIn)
    .post(
      "/conversation",
      ({ request, user }) =>
        run(
          request,
          Effect.gen(function* () {
            const { listening, render } = renderings[yield* negotiate(request.headers.get("accept"))]
            const key = yield* idempotencyKey(request)
            const turn = Effect.gen(function* () {
              const { upload, sessionId } = yield* receiveUpload(request, settings)
              const turnId = crypto.randomUUID()
              return yield* render(
                turns.take({ turnId, userId: user.id, sessionId, idempotencyKey: key, upload, listening }),
              )
            }).pipe(Effect.provideService(FileSystem.FileSystem, fs))
            const client = { signal: request.signal, patience: settings.listenerTimeout }
            return yield* streamed(client, Option.isSome(key) ? runsOn(unattended, turn) : turn)
          }),
        ),
      // The body is read by the turn itself, as it comes.
      { parse: () => null },
    )
    .delete(
      "/turns/:turnId",
      ({ request, user, params }) =>
        run(request, Effect.as(running.cancel(user.id, params.turnId), new Response(null, { status: 204 }))),
      { parse: () => null },
    )
})
