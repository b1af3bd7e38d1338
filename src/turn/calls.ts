import { Cause, Duration, Effect, Either, Option } from "effect"
import type { Agent } from "../agent/agent.ts"
import { kindOf, toolNamed } from "../agent/called-tool.ts"
import type { RecordedCall, RecordedRound } from "../conversation/rounds.ts"
import type { ToolCalls } from "../conversation/tool-calls.ts"
import { uninterruptibleWithTimeout } from "../db/postgres.ts"
import { countToolCall } from "../metrics.ts"
import type { ToolCall } from "../providers/tools.ts"
import { ItemId, newId, type SessionId, type TurnId, type UserId } from "../schema.ts"
import { answers, bounded } from "../tools/answers.ts"
import { readArguments } from "../tools/arguments.ts"
import type { RunnableTool, ToolAnswer, ToolOutcome } from "../tools/runnable.ts"
import type { TurnLog } from "./log.ts"
import { writtenLength } from "./state.ts"

/** Calls of one round that run at the same time. */
const maxParallelCalls = 8

/** Calls of one round that are made, by the service and the client. A request with a client's results has as many at most. */
export const maxRoundCalls = 128

export interface CallingContext {
  readonly turnId: TurnId
  readonly userId: UserId
  readonly sessionId: SessionId
  readonly agent: Agent
  readonly log: TurnLog
  /** Waits until the turn is wanted: a speculative turn makes no calls. */
  readonly adopted: Effect.Effect<void>
  readonly record: ToolCalls["Type"]
}

/** A call that can be made, or what the model is told in its place. */
type Prepared = Either.Either<
  { readonly tool: RunnableTool; readonly arguments: Readonly<Record<string, unknown>> },
  ToolAnswer
>

/**
 * Whether the service answers a call: of one of its own tools, of one that is not there, or of the client's with arguments that
 * do not fit, if these are checked.
 */
export const isAnsweredHere = (agent: Agent, { name, arguments: written }: ToolCall): boolean =>
  Option.match(toolNamed(agent, name), {
    onNone: () => true,
    onSome: ({ by, tool }) =>
      by === "service" ||
      (agent.calling.checksArguments === true && Either.isLeft(readArguments(tool, written))),
  })

const prepare = (agent: Agent, { name, arguments: written }: ToolCall): Prepared =>
  Option.match(toolNamed(agent, name), {
    onNone: () => Either.left(answers.gone(name)),
    onSome: (called) =>
      Either.flatMap(readArguments(called.tool, written), (args) =>
        called.by === "service"
          ? Either.right({ tool: called.runnable, arguments: args })
          : // Only a call of the client's that does not fit comes here.
            Either.left(answers.gone(name)),
      ),
  })

const tooMany: Prepared = Either.left(answers.tooMany(maxRoundCalls))

/** Whether a call of a round is beyond the bound. The calls of the client come first. */
const surplusOf = (calls: ReadonlyArray<RecordedCall>) => {
  const surplus = new Set(calls.slice(maxRoundCalls).map(({ itemId }) => itemId))
  return ({ itemId }: RecordedCall) => surplus.has(itemId)
}

/** For the log and for traces: the tool's own name. That of a call may be text of the model. */
const labelOf = (agent: Agent, { name }: RecordedCall) =>
  Option.match(toolNamed(agent, name), { onNone: () => "unknown", onSome: ({ tool }) => tool.name })

/** Makes one call. A tool that fails, or takes too long, is an answer. */
const run = (context: CallingContext, prepared: Prepared, call: RecordedCall) =>
  Effect.gen(function* () {
    const { itemId, callId } = call
    if (Either.isLeft(prepared)) return { answer: prepared.left, outcome: "refused" as const }
    const { tool, arguments: args } = prepared.right
    const { userId, sessionId, turnId, agent } = context
    const timeout = Duration.min(tool.timeout, agent.acting.timeout)
    const invocation = { callId, idempotencyKey: itemId, arguments: args, userId, sessionId, turnId }
    return yield* tool.run(invocation).pipe(
      Effect.map((answer) => ({ answer, outcome: answer.isError ? ("failed" as const) : ("ok" as const) })),
      Effect.timeoutTo({
        duration: timeout,
        onSuccess: (done) => done,
        onTimeout: () => ({ answer: answers.timedOut(timeout), outcome: "timed_out" as const }),
      }),
      Effect.catchAllCause((cause) =>
        Cause.isInterrupted(cause)
          ? Effect.failCause(cause)
          : Effect.as(Effect.annotateLogs(Effect.logError("tool.defect", cause), { tool: tool.tool.name }), {
              answer: answers.failed,
              outcome: "failed" as const,
            }),
      ),
    )
  }).pipe(Effect.withSpan("tool", { attributes: { tool: labelOf(context.agent, call) } }))

/** Runs a call, and keeps what came back. A result that is there is kept, also if the turn ends at that moment. */
const settle = (
  { log, record, agent }: CallingContext,
  call: RecordedCall,
  running: Effect.Effect<{ readonly answer: ToolAnswer; readonly outcome: ToolOutcome }>,
) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const startedAt = log.now()
      const { answer, outcome } = yield* restore(running)
      const { output, isError } = bounded(answer)
      const result = { itemId: newId(ItemId), output, isError }
      log.push({ _tag: "ToolReturned", callId: call.callId, ...result })
      yield* Effect.annotateLogs(Effect.logInfo("tool.called"), {
        tool: labelOf(agent, call),
        outcome,
        ms: log.now() - startedAt,
        outputLength: output.length,
      })
      yield* countToolCall(kindOf(toolNamed(agent, call.name)), outcome)
      yield* uninterruptibleWithTimeout(record.finish(call.itemId, result))
    }),
  )

const settleAll = <A, E>(
  { log }: CallingContext,
  calls: ReadonlyArray<A>,
  one: (call: A) => Effect.Effect<unknown, E>,
) =>
  calls.length === 0
    ? Effect.void
    : log.timed("tools", Effect.forEach(calls, one, { concurrency: maxParallelCalls, discard: true }))

/**
 * Makes the calls of a round: records them, runs them, records what came back. `round`: its number, and what the model wrote
 * before it called. The calls of the client's tools are recorded with them.
 */
export const makeCalls = Effect.fn("makeCalls")(function* (
  context: CallingContext,
  calls: ReadonlyArray<ToolCall>,
  round: { readonly number: number; readonly messageId: ItemId },
) {
  if (calls.length === 0) return
  const { log, record, turnId } = context
  yield* context.adopted
  const own = calls.map(
    (call): RecordedCall => ({
      ...call,
      itemId: newId(ItemId),
      by: "service",
      result: Option.none(),
    }),
  )
  const { heard, brought, round: current } = log.state()
  yield* record.begin({
    turnId,
    round: round.number,
    messageId: round.messageId,
    transcript: Option.map(heard, ({ transcript }) => transcript),
    brought,
    text: current.text,
    calls: [...current.calls, ...own],
  })
  for (const { itemId, callId, name, arguments: args } of own) {
    log.push({ _tag: "ToolCalled", itemId, by: "service", callId, name, arguments: args })
  }
  const isSurplus = surplusOf([...current.calls, ...own])
  yield* settleAll(context, own, (call) => {
    const prepared = isSurplus(call) ? tooMany : prepare(context.agent, call)
    return settle(context, call, run(context, prepared, call))
  })
})

/**
 * Goes on with the rounds of a turn that was cut off, as it recorded them. A call without a result may have been carried out:
 * it is made again, with the same key, only if that does no harm.
 */
export const continueRounds = Effect.fn("continueRounds")(function* (
  context: CallingContext,
  rounds: ReadonlyArray<RecordedRound>,
) {
  const { log } = context
  for (const [number, { messageId, text, calls }] of rounds.entries()) {
    log.push({ _tag: "RoundStarted", round: number, messageId })
    if (text !== "") log.push({ _tag: "TextDelta", text })
    for (const { itemId, by, callId, name, arguments: args, result } of calls) {
      log.push({ _tag: "ToolCalled", itemId, by, callId, name, arguments: args })
      if (Option.isSome(result)) log.push({ _tag: "ToolReturned", callId, ...result.value })
    }
    log.push({ _tag: "RoundEnded", reason: "tools" })
    // Its speech is not paid for again: the client gets that of the rounds to come.
    log.push({ _tag: "SpokenTo", text: writtenLength(log.state()), ms: log.state().audioMs })
  }
  const { calls } = log.state().round
  const isSurplus = surplusOf(calls)
  const open = calls.filter(({ by, result }) => by === "service" && Option.isNone(result))
  yield* settleAll(context, open, (call) => {
    const prepared = isSurplus(call) ? tooMany : prepare(context.agent, call)
    const mayRun = Either.isLeft(prepared) || prepared.right.tool.isIdempotent
    const unknown = Effect.succeed({ answer: answers.unknown, outcome: "unknown" as const })
    return settle(context, call, mayRun ? run(context, prepared, call) : unknown)
  })
})
