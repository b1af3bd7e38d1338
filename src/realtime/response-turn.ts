import { type Chunk, Deferred, Effect, type Exit, FiberId, Option, Stream } from "effect"
import type { SignedIn } from "../accounts/model.ts"
import type { NewItem } from "../conversation/item.ts"
import type { Admission } from "../limits/admission.ts"
import type { RateLimited, RateLimits } from "../limits/rate-limits.ts"
import { ItemId, newId, TurnId } from "../schema.ts"
import type { TurnEvent } from "../turn/events.ts"
import { forkJoin } from "../turn/fork.ts"
import { fromConversation } from "../turn/input.ts"
import { SessionTarget, type TurnRequest, type UnsavedItems } from "../turn/request.ts"
import type { Turn, Turns } from "../turn/turns.ts"
import type { ResponseError } from "./failures.ts"
import type { Wire } from "./outbox.ts"
import type { ResponseConfig } from "./protocol/response.ts"
import type { AgentFacts } from "./protocol/session-config.ts"
import { responseAgent } from "./response-agent.ts"
import type { StoredSession } from "./stored-session.ts"
import type { Writes } from "./writes.ts"

/** A response that was asked for. */
export interface ResponseOrder {
  readonly id: TurnId
  readonly config: ResponseConfig
  /** Replaces the conversation in the prompt. */
  readonly context: Option.Option<ReadonlyArray<NewItem>>
  /** A further sentence for the model. */
  readonly note: Option.Option<string>
  readonly reply: TurnRequest["reply"]
}

/** What the fiber of a response reports to the session. */
export type ResponseReport =
  | { readonly _tag: "TurnBegan"; readonly id: TurnId; readonly turn: Turn }
  | { readonly _tag: "TurnEvents"; readonly id: TurnId; readonly events: Chunk.Chunk<TurnEvent> }
  /** What is left of the user's limit, of which the response took one, or which refused it. */
  | { readonly _tag: "LimitTaken"; readonly id: TurnId; readonly left: LimitLeft }
  | { readonly _tag: "TurnEnded"; readonly id: TurnId; readonly exit: Exit.Exit<void, ResponseError> }

/** `resetSeconds`: until the whole limit is available again, or until the next response is allowed. */
export interface LimitLeft {
  readonly limit: number
  readonly remaining: number
  readonly resetSeconds: number
}

export interface ResponseTurnOptions {
  readonly user: Pick<SignedIn, "id" | "keyId">
  readonly turns: Turns["Type"]
  readonly limits: RateLimits["Type"]
  readonly admission: Admission["Type"]
  readonly writes: Writes
  readonly session: StoredSession
  /** What the client was shown of the session's agent. */
  readonly agentFacts: AgentFacts
  readonly wire: Wire
  readonly report: (report: ResponseReport) => void
}

/** The turns of responses: each effect runs one, and reports it. */
export interface ResponseTurns {
  /** Takes note of the writes before it when it is called. */
  readonly run: (order: ResponseOrder, messageId: ItemId) => Effect.Effect<void>
  /**
   * Runs a turn that may be wanted: it answers `said` besides what was said before. It reports nothing until `adopt` is
   * called, once `said` is being written. If the conversation has changed since, another turn runs in its place. An
   * interruption before that drops the turn unheard.
   */
  readonly speculate: (
    order: ResponseOrder,
    messageId: ItemId,
    said: NewItem,
  ) => { readonly run: Effect.Effect<void>; readonly adopt: () => void }
}

type Written = ReturnType<Writes["written"]>

const unawaited: Written = Effect.succeed({ items: [], saved: Effect.void })

export const makeResponseTurns = (options: ResponseTurnOptions): ResponseTurns => {
  const { id: userId, keyId } = options.user
  const { turns, limits, admission, writes, session, wire, report } = options

  const requestOf = (
    { id, config, context, note, reply }: ResponseOrder,
    messageId: ItemId,
    unsaved: UnsavedItems,
  ): TurnRequest => ({
    turnId: id,
    userId,
    keyId,
    target: SessionTarget.Joined({ session: session.target() }),
    input: fromConversation,
    output: {
      format: config.output_modalities[0] === "audio" ? "pcm" : "none",
      streamsText: true,
      streaming: true,
    },
    idempotencyKey: Option.none(),
    uploadMs: 0,
    agentId: Option.none(),
    agentVersion: Option.none(),
    reply,
    agent: responseAgent(config, options.agentFacts, note),
    context,
    unsaved,
    itemIds: Option.some({ user: newId(ItemId), assistant: messageId }),
  })

  /** Counts a response in the user's limit. */
  const countTurn = (id: TurnId) => {
    const tell = (left: LimitLeft) => Effect.sync(() => report({ _tag: "LimitTaken", id, left }))
    return limits.take("turns", userId).pipe(
      Effect.tap((quota) =>
        Effect.transposeMapOption(quota, ({ policy: { limit }, remaining, secondsToWhole }) =>
          tell({ limit, remaining, resetSeconds: secondsToWhole }),
        ),
      ),
      Effect.tapError(({ policy: { limit }, retryAfter }) =>
        tell({ limit, remaining: 0, resetSeconds: retryAfter }),
      ),
    )
  }

  /** What a turn needs before it begins. `counted` counts it. A refusal does not wait for the writes. */
  const admitted = (written: Written, counted: Effect.Effect<unknown, RateLimited>) =>
    Effect.map(
      Effect.all([forkJoin(written), counted, admission.acquire(userId)], {
        concurrency: "unbounded",
      }),
      ([unsaved]) => unsaved,
    )

  const follow = (id: TurnId, turn: Turn) => {
    report({ _tag: "TurnBegan", id, turn })
    return Stream.runForEachChunk(turn.events, (events) => {
      report({ _tag: "TurnEvents", id, events })
      return wire.drained
    })
  }

  const reported = <R>(id: TurnId, effect: Effect.Effect<void, ResponseError, R>) =>
    Effect.map(Effect.exit(effect), (exit) => report({ _tag: "TurnEnded", id, exit }))

  const take = (order: ResponseOrder, messageId: ItemId, written: Written, turnId = order.id) =>
    Effect.gen(function* () {
      // The first write of the session may end only now.
      const request = {
        ...requestOf(order, messageId, yield* admitted(written, countTurn(order.id))),
        turnId,
      }
      const turn = yield* order.config.inConversation ? turns.begin(request) : turns.aside(request)
      yield* follow(order.id, turn)
    }).pipe(Effect.scoped)

  return {
    run: (order, messageId) => {
      // Such a response reads nothing of the conversation.
      const isApart = !order.config.inConversation && Option.isSome(order.context)
      return reported(order.id, take(order, messageId, isApart ? unawaited : writes.written()))
    },
    speculate: (order, messageId, said) => {
      const before = writes.written()
      const adopted = Deferred.unsafeMake<Written>(FiberId.none)
      let isReal = false
      const early = Effect.gen(function* () {
        const unsaved = yield* admitted(before, limits.take("requests", userId))
        const { turn, adopt } = yield* turns.speculate(
          requestOf(order, messageId, { ...unsaved, items: [...unsaved.items, said] }),
        )
        const [now] = yield* Effect.all(
          [
            forkJoin(Effect.flatten(Deferred.await(adopted))),
            Effect.zipRight(Deferred.await(adopted), countTurn(order.id)),
          ],
          { concurrency: "unbounded" },
        )
        isReal = yield* adopt(now)
        if (isReal) yield* follow(order.id, turn)
      }).pipe(Effect.scoped)
      const run = Effect.gen(function* () {
        const exit = yield* Effect.exit(early)
        if (isReal) return yield* exit
        // The row of the dropped turn keeps the id of the response.
        yield* take(order, messageId, yield* Deferred.await(adopted), newId(TurnId))
      })
      return {
        run: reported(order.id, run),
        adopt: () => Deferred.unsafeDone(adopted, Effect.succeed(writes.written())),
      }
    },
  }
}
