import * as FileSystem from "@effect/platform/FileSystem"
import { Effect } from "effect"
import { Elysia } from "elysia"
import { Settings } from "../config.ts"
import { Turns } from "../turn/take-turn.ts"
import { negotiate } from "./accept.ts"
import { signedIn } from "./auth.ts"
import { renderings } from "./renderings.ts"
import { makeRun } from "./run.ts"
import { streamed } from "./streaming.ts"
import { receiveUpload } from "./upload.ts"

/** A turn: the recording comes in, and the reply goes out as the client asked for it. */
export const conversationRoutes = Effect.gen(function* () {
  const run = yield* makeRun
  const turns = yield* Turns
  const fs = yield* FileSystem.FileSystem
  const { maxAudioBytes } = yield* Settings

  return new Elysia({ prefix: "/voice" }).use(yield* signedIn).post(
    "/conversation",
    ({ request, user }) =>
      run(
        request,
        Effect.gen(function* () {
          const { speech, render } = renderings[yield* negotiate(request.headers.get("accept"))]
          const turn = Effect.gen(function* () {
            const { upload, sessionId } = yield* receiveUpload(request, maxAudioBytes)
            const turnId = crypto.randomUUID()
            return yield* render(
              turns.take({ turnId, userId: user.id, sessionId, upload, format: speech, wantsText: false }),
            )
          })
          return yield* streamed(request.signal, Effect.provideService(turn, FileSystem.FileSystem, fs))
        }),
      ),
    // The body is read by the turn itself, as it comes.
    { parse: () => null },
  )
})
