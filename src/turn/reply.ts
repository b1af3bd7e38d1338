import { Deferred, Effect, Option } from "effect"
import { promptOfRound } from "../agent/prompt.ts"
import { makeSpeechOutput } from "../audio/speech-output.ts"
import { callItems } from "../conversation/rounds.ts"
import type { Prompt } from "../providers/language-model.ts"
import { retryPolicy } from "../providers/retry.ts"
import type { ToolCall } from "../providers/tools.ts"
import { ItemId, newId } from "../schema.ts"
import { type CallingContext, isAnsweredHere, makeCalls } from "./calls.ts"
import { timeLeft } from "./deadline.ts"
import { fillSilence } from "./filler.ts"
import { runBoth } from "./fork.ts"
import { type Ports, type SpeechContext, tryRound } from "./round.ts"
import { roundsOf } from "./state.ts"

interface ReplyContext extends CallingContext, Pick<SpeechContext, "conversionSlot"> {
  /** Of the first round. */
  readonly prompt: Prompt
  /** Rounds of the turns before that called tools for the same words of the user. */
  readonly earlierRounds: number
  /** Of the first round's message. */
  readonly messageId: ItemId
}

/** A round is retried as long as none of it was sent to the client and the turn has time left. */
const retryOf = ({ log, agent }: ReplyContext) =>
  retryPolicy(
    ({ stage }) =>
      stage === "llm" && !log.state().round.isSent && timeLeft(log, agent.firstOutputTimeout) > 0,
  )

/**
 * One round: the model's answer, spoken while it is written, and the calls of the service's tools, which begin when the answer
 * is whole. If they take long, a sentence fills the silence.
 */
const playRound = (
  ports: Ports,
  context: ReplyContext & SpeechContext,
  prompt: Prompt,
  round: { readonly number: number; readonly messageId: ItemId },
) =>
  Effect.gen(function* () {
    const written = yield* Deferred.make<ReadonlyArray<ToolCall>>()
    const returned = yield* Deferred.make<void>()
    const speaking = tryRound(ports, {
      ...context,
      prompt,
      round: round.number,
      messageId: round.messageId,
      isOwn: (call) => isAnsweredHere(context.agent, call),
      onCalls: (calls) => Deferred.unsafeDone(written, Effect.succeed(calls)),
    }).pipe(
      Effect.retry(retryOf(context)),
      Effect.zipRight(Effect.suspend(() => fillSilence(ports, context, returned))),
    )
    const calling = Deferred.await(written).pipe(
      Effect.flatMap((calls) => makeCalls(context, calls, round)),
      Effect.zipRight(Deferred.succeed(returned, undefined)),
    )
    yield* runBoth(speaking, calling)
  })

/**
 * The agent's reply, in rounds: the service runs the calls of its own tools, and the model goes on with their results. It
 * ends with a round without calls or with calls of the client's tools: the client runs them. Text and speech of a failed
 * try of a round are dropped. The rounds that the log has already are not played again.
 */
export const reply = Effect.fn("reply")(function* (ports: Ports, context: ReplyContext) {
  const { agent, log, prompt, earlierRounds } = context
  const { format } = log.state().output
  const speechOutput = format === "none" ? Option.none() : Option.some(makeSpeechOutput(format))
  const isOver = () => {
    const { calls } = log.state().round
    return calls.length === 0 || calls.some(({ by }) => by === "client")
  }
  const recorded = Option.isSome(log.state().round.endReason) ? roundsOf(log.state()).length : 0
  if (recorded > 0 && isOver()) return
  for (let number = recorded; ; number += 1) {
    const before = number === 0 ? [] : roundsOf(log.state())
    const messageId = number === 0 ? context.messageId : newId(ItemId)
    yield* playRound(
      ports,
      { ...context, speechOutput },
      promptOfRound(
        agent,
        prompt,
        before.map(({ text, calls }) => ({ text, calls: callItems(calls) })),
        earlierRounds,
      ),
      { number, messageId },
    )
    if (isOver()) return
  }
})
