import { Effect, Option, type Scope } from "effect"
import { Settings } from "../config.ts"
import { newId, TurnId, type UserId } from "../schema.ts"
import type { Listening, Saying, Whereto } from "../turn/model.ts"
import { Turns } from "../turn/turns.ts"
import { negotiate } from "./accept.ts"
import { type AppError, ValidationFailed } from "./errors.ts"
import { hangUp, withoutIdleTimeout } from "./idle.ts"
import { renderings } from "./renderings.ts"
import { requestInfo } from "./run.ts"
import { type Answers, runsOn, streamed } from "./streaming.ts"

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

/** For a reply that is read only. Its text is wanted as it comes by all who are live, and noticed by none else. */
const unspoken = (listening: Listening): Listening => ({ ...listening, format: "none", wantsText: true })

interface Asked {
  readonly request: Request
  readonly server: Bun.Server<unknown> | null
  readonly userId: UserId
  /** Whether the reply is to be spoken. */
  readonly isSpoken: boolean
  /** What is said, and where. It takes the turn's slot, which the answer's scope also holds. */
  readonly said: (
    answer: Scope.Scope,
  ) => Effect.Effect<{ readonly saying: Saying; readonly whereto: Whereto }, AppError, Scope.Scope>
}

/** A turn, answered as its request's headers ask. */
export const makeTurnAnswer = Effect.fnUntraced(function* ({ open, unattended }: Answers) {
  const turns = yield* Turns
  const { listenerTimeout } = yield* Settings

  return Effect.fnUntraced(function* ({ request, server, userId, isSpoken, said }: Asked) {
    const type = yield* negotiate(request.headers.get("accept"))
    if (!isSpoken && type.startsWith("audio/")) {
      return yield* new ValidationFailed({
        message: "audio: can be false for application/json and text/event-stream only; Accept one of these",
      })
    }
    const { listening, render } = renderings[type]
    const key = yield* idempotencyKey(request)
    const turnOf = Effect.fnUntraced(function* (answer: Scope.Scope) {
      const { saying, whereto } = yield* said(answer)
      return yield* render(
        turns.take({
          turnId: newId(TurnId),
          userId,
          whereto,
          idempotencyKey: key,
          saying,
          uploadMs: performance.now() - requestInfo(request).startedAt,
          listening: isSpoken ? listening : unspoken(listening),
        }),
      )
    })
    const client = {
      signal: request.signal,
      patience: listenerTimeout,
      hangUp: hangUp(server, request),
      open,
    }
    return yield* streamed(
      client,
      Effect.gen(function* () {
        yield* withoutIdleTimeout(server, request)
        const turn = turnOf(yield* Effect.scope)
        return yield* Option.isSome(key) ? runsOn(unattended, request.signal, turn) : turn
      }),
    )
  })
})
