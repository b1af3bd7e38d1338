import { Effect, Option } from "effect"
import type { Agent } from "../agent/agent.ts"
import { NoGreeting } from "../agent/errors.ts"
import { makePrompt, roundsSinceUser } from "../agent/prompt.ts"
import { ClientCalls } from "../conversation/client-calls.ts"
import { History } from "../conversation/history.ts"
import type { NewItem } from "../conversation/item.ts"
import { Ledger } from "../conversation/ledger.ts"
import { type ContinuedWork, resultItem } from "../conversation/rounds.ts"
import type { QueueTicket } from "../conversation/running-turns.ts"
import { ToolCalls } from "../conversation/tool-calls.ts"
import { uninterruptibleWithTimeout } from "../db/postgres.ts"
import { ConversionSlots } from "../limits/conversion-slots.ts"
import { countToolCall, recordTimings } from "../metrics.ts"
import { LanguageModel } from "../providers/language-model.ts"
import { Synthesizer } from "../providers/synthesizer.ts"
import { Transcriber } from "../providers/transcriber.ts"
import { ItemId, newId } from "../schema.ts"
import { Spending } from "../usage/spending.ts"
import { continueRounds } from "./calls.ts"
import { deadline } from "./deadline.ts"
import { runBoth, runUntil } from "./fork.ts"
import { hear } from "./hear.ts"
import type { TurnLog } from "./log.ts"
import { reply } from "./reply.ts"
import { saveCompleted, type TurnIdentity } from "./saving.ts"
import { scriptedModel } from "./scripted-model.ts"
import type { Standing } from "./standing.ts"
import { clientCalls, replyOf, transcriptOf } from "./state.ts"
import { finalTimings } from "./timings.ts"

/** A turn that is in the queue of its session, or is entering it. */
export interface RunningTurn extends TurnIdentity {
  /** The agent of the turn's session. */
  readonly agent: Agent
  readonly ticket: QueueTicket
  /** What the turn that this one continues has done. */
  readonly continued: Option.Option<ContinuedWork>
  readonly standing: Standing
  readonly log: TurnLog
}

/** Words that the turn before this one heard. */
const heardBefore = (text: string) => ({ text, source: { bytes: 0, type: "continued" } })

/** A client's own context is not shortened. */
const unlimited = {
  maxItems: Number.POSITIVE_INFINITY,
  maxTokens: Number.POSITIVE_INFINITY,
  isSummarized: false,
}

/** Runs after the save: records the metrics, logs the turn, and appends its last event. */
const complete = (log: TurnLog) =>
  Effect.suspend(() => {
    const state = log.state()
    const timings = finalTimings(state)
    const source = Option.map(state.heard, ({ source }) => source)
    return recordTimings({ ...timings }).pipe(
      Effect.zipRight(
        Effect.forEach(clientCalls(state), () => countToolCall("client", "asked"), { discard: true }),
      ),
      Effect.zipRight(Effect.logInfo("turn.completed")),
      Effect.annotateLogs({
        ...Option.getOrElse(source, () => ({})),
        transcriptLength: transcriptOf(state).length,
        responseLength: replyOf(state).length,
        ...timings,
      }),
      // Without waiting: a client that reads no further must not keep a turn that is saved.
      Effect.zipRight(Effect.sync(() => log.push({ _tag: "Completed" }))),
    )
  })

/** The whole turn, top to bottom: from the input to the saved items. */
export const makePipeline = Effect.gen(function* () {
  const transcriber = yield* Transcriber
  const model = yield* LanguageModel
  const synthesizer = yield* Synthesizer
  const conversionSlots = yield* ConversionSlots
  const history = yield* History
  const ledger = yield* Ledger
  const record = yield* ToolCalls
  const callsOfClients = yield* ClientCalls
  const spending = yield* Spending

  const readHistory = ({ request, session, agent, standing, continued, log }: RunningTurn) => {
    const { maxItems } = agent.history
    // A turn without an input answers the items, so it reads the question even if the agent sees no history.
    const load = maxItems === 0 && request.input.hear !== undefined ? history.newest : history.forPrompt
    return Effect.map(
      Effect.tap(load(session.id, maxItems), (saved) => Effect.sync(() => standing.noteHistory(saved))),
      (saved): ReadonlyArray<NewItem> => [
        ...saved.filter(({ turnId }) => !Option.exists(continued, ({ replaces }) => replaces === turnId)),
        ...log.state().brought.map(resultItem),
        ...request.unsaved.items.filter((item) => !saved.some(({ id }) => id === item.id)),
      ],
    )
  }

  /** Takes the results that the client has brought. Only now is it known whether the calls still wait for them. */
  const takeResults = ({ request, session, continued, log }: RunningTurn) =>
    Option.match(request.input.hear === undefined ? request.input.results : Option.none(), {
      onNone: () => Effect.void,
      onSome: Effect.fnUntraced(function* ({ turnId, results }) {
        const replaced = Option.map(continued, ({ replaces }) => replaces)
        const added = yield* callsOfClients.accept(session.id, turnId, results, replaced)
        log.push({
          _tag: "ResultsBrought",
          results: added.map(({ callId, output }) => ({ itemId: newId(ItemId), callId, output })),
        })
        for (const { isError } of added) yield* countToolCall("client", isError ? "failed" : "ok")
      }),
    })

  /**
   * The conversation before this turn. Waits until the earlier turns of the session have ended. What those of a dead process
   * had done is saved first: the model must know of their calls.
   */
  const loadHistory = (turn: RunningTurn) =>
    Effect.zipRight(
      turn.log.timed("turnOrder", turn.ticket.ready),
      turn.log.timed(
        "history",
        Option.match(turn.request.context, {
          onNone: () =>
            ledger
              .recover(turn.session.id)
              .pipe(
                Effect.zipRight(takeResults(turn)),
                Effect.zipRight(Effect.suspend(() => readHistory(turn))),
              ),
          onSome: Effect.succeed,
        }),
      ),
    )

  /** One step: a turn that is cancelled, interrupted or left meanwhile ends as completed, or is not saved. */
  const save = (turn: RunningTurn) =>
    uninterruptibleWithTimeout(
      Effect.suspend(() => turn.log.stage("persist", saveCompleted(ledger, turn, turn.log.state()))).pipe(
        Effect.zipRight(turn.ticket.leave),
        Effect.zipRight(complete(turn.log)),
      ),
    )

  /** What writes the reply. */
  const writerOf = ({ request, agent }: RunningTurn) =>
    request.reply === "model"
      ? Effect.succeed(model)
      : Effect.map(Effect.flatten(Effect.mapError(agent.greeting, () => new NoGreeting())), scriptedModel)

  return Effect.fn("turn")(function* (turn: RunningTurn) {
    const { request, session, agent, log, standing } = turn
    const { turnId, userId, input } = request
    const calling = { turnId, userId, sessionId: session.id, agent, log, adopted: standing.adopted, record }
    yield* Effect.annotateCurrentSpan({ turnId, sessionId: session.id })

    const run = Effect.gen(function* () {
      const hearing = Option.match(turn.continued, {
        onNone: () =>
          input.hear === undefined
            ? Effect.succeedNone
            : Effect.asSome(hear(transcriber, input, { turnId, userId, agent, log })),
        onSome: ({ transcript }) => Effect.succeed(Option.map(transcript, heardBefore)),
      })
      const check = spending.check(userId)
      const bringsResults = input.hear === undefined && Option.isSome(input.results)
      const [heard, earlier] = yield* bringsResults
        ? // What a refused turn has brought is not kept: the client may bring it again.
          Effect.zipRight(check, runBoth(hearing, loadHistory(turn)))
        : runBoth(Effect.zipRight(check, hearing), loadHistory(turn))
      if (Option.isSome(heard)) yield* log.append({ _tag: "Heard", ...heard.value })
      const transcript = Option.map(heard, ({ text }) => text)
      const limits = Option.isSome(request.context) ? unlimited : agent.history
      const prompt = makePrompt({ ...agent, history: limits }, earlier, transcript)
      // The rounds of a chain of turns count together: a client that runs every call must not go on for ever.
      const earlierRounds = bringsResults ? roundsSinceUser(prompt) : 0
      const conversionSlot = log.timed("conversionSlot", conversionSlots.acquire(userId))
      if (Option.isSome(turn.continued)) yield* continueRounds(calling, turn.continued.value.rounds)
      const thinking = yield* writerOf(turn)
      yield* reply(
        { model: thinking, synthesizer },
        { ...calling, prompt, earlierRounds, messageId: turn.items.assistant, conversionSlot },
      )
      yield* standing.adopted
      yield* standing.saved
      yield* save(turn)
    })
    yield* runUntil(run, deadline(log, agent.firstOutputTimeout))
  })
})
