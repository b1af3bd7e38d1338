import { Effect, Option, type Scope } from "effect"
import type { SignedIn } from "../accounts/model.ts"
import { Settings } from "../config.ts"
import type { SlotOptions } from "../limits/admission.ts"
import { newId, TurnId } from "../schema.ts"
import type { OutputOptions } from "../turn/events.ts"
import { type TurnRequest, usualTurn } from "../turn/request.ts"
import { Turns } from "../turn/turns.ts"
import { negotiate } from "./accept.ts"
import { type AppError, ValidationFailed } from "./errors.ts"
import { idempotencyKey } from "./idempotency-key.ts"
import { hangUp, withoutIdleTimeout } from "./idle.ts"
import { renderings } from "./renderings.ts"
import { requestInfo } from "./run.ts"
import { type Answers, runsOn, streamed } from "./streaming.ts"

/** The output of a reply that is not spoken. A streaming client gets its text as the model writes it. */
const unspoken = (output: OutputOptions): OutputOptions => ({ ...output, format: "none", streamsText: true })

export interface TurnCall {
  readonly request: Request
  readonly server: Bun.Server<unknown> | null
  readonly user: SignedIn
  /** False: the reply is text only. */
  readonly isSpoken: boolean
  /** Reads the input of the request and takes a slot for the turn. */
  readonly read: (
    slot: SlotOptions,
  ) => Effect.Effect<
    Pick<TurnRequest, "input" | "target" | "agentId" | "reply"> & Partial<Pick<TurnRequest, "agentVersion">>,
    AppError,
    Scope.Scope
  >
}

/** A turn over HTTP: negotiate the rendering, read the input, begin the turn, render its events. */
export const makeTurnAnswer = Effect.fnUntraced(function* ({ open, unattended }: Answers) {
  const turns = yield* Turns
  const { clientTimeout } = yield* Settings

  return Effect.fnUntraced(function* ({ request, server, user, isSpoken, read }: TurnCall) {
    const type = yield* negotiate(request.headers.get("accept"))
    if (!isSpoken && type.startsWith("audio/")) {
      return yield* new ValidationFailed({
        message: "audio: can be false for application/json and text/event-stream only; Accept one of these",
      })
    }
    const { output, render } = renderings[type]
    const key = yield* idempotencyKey(request)

    /** `response`: the scope of the response. It may close after the scope of the turn. */
    const rendered = Effect.fnUntraced(function* (response: Scope.Scope) {
      const asked = yield* read({ alsoHeldBy: response })
      const turn = yield* turns.begin({
        turnId: newId(TurnId),
        userId: user.id,
        keyId: user.keyId,
        output: isSpoken ? output : unspoken(output),
        idempotencyKey: key,
        uploadMs: performance.now() - requestInfo(request).startedAt,
        ...usualTurn,
        ...asked,
      })
      return yield* render(turn)
    })

    const client = {
      signal: request.signal,
      timeout: clientTimeout,
      hangUp: hangUp(server, request),
    }
    return yield* streamed(
      client,
      open,
      Effect.gen(function* () {
        yield* withoutIdleTimeout(server, request)
        const turn = rendered(yield* Effect.scope)
        return yield* Option.isSome(key) ? runsOn(unattended, request.signal, turn) : turn
      }),
    )
  })
})
