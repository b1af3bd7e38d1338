import { Deferred, Effect, Option, type Scope, Stream } from "effect"
import type { Agent } from "../agent/agent.ts"
import { promptTokens } from "../agent/prompt.ts"
import type { SpeechOutput } from "../audio/speech-output.ts"
import type { ProviderError } from "../providers/errors.ts"
import type { EndReason, LanguageModel, Prompt } from "../providers/language-model.ts"
import type { Served } from "../providers/served.ts"
import type { Synthesizer } from "../providers/synthesizer.ts"
import type { ToolCall } from "../providers/tools.ts"
import { ItemId, newId, type TurnId } from "../schema.ts"
import type { Segment } from "../text/segmenter.ts"
import { makeSegmentQueue, type SegmentQueue } from "../text/segments.ts"
import { makeRequestMeter } from "../usage/request-meter.ts"
import { maxRoundCalls } from "./calls.ts"
import { runUntil } from "./fork.ts"
import type { TurnLog } from "./log.ts"
import { speak } from "./speak.ts"
import { writtenLength } from "./state.ts"

/** The ports of a reply. */
export interface Ports {
  readonly model: Pick<LanguageModel["Type"], "generate">
  readonly synthesizer: Synthesizer["Type"]
}

/** What all rounds of a reply have in common. */
export interface SpeechContext {
  readonly turnId: TurnId
  readonly agent: Agent
  readonly log: TurnLog
  /** As in `SpeakOptions`. */
  readonly conversionSlot: Effect.Effect<void, never, Scope.Scope>
  /** One for the reply, so that its audio is one stream. None: the reply is not spoken. */
  readonly speechOutput: Option.Option<SpeechOutput>
}

interface RoundContext extends SpeechContext {
  /** From 0. */
  readonly round: number
  /** Of the round's message. */
  readonly messageId: ItemId
  readonly prompt: Prompt
  /** Whether the service answers the call. */
  readonly isOwn: (call: ToolCall) => boolean
  /** Called at the end of the model's answer, with the calls that the service answers. A plain function. */
  readonly onCalls: (calls: ReadonlyArray<ToolCall>) => void
}

/**
 * Logs the end of the `llm` or `tts` stage, with the time to its first token or byte. `charactersRemoved`: how much thinking
 * and markup the model wrote into its text. `reason`: why the model ended.
 */
const logStage = (
  stage: "llm" | "tts",
  { log }: SpeechContext,
  startedAt: number,
  ok: boolean,
  model: { readonly charactersRemoved?: number; readonly reason?: EndReason | undefined } = {},
) =>
  Effect.suspend(() => {
    const { round, consumed } = log.state()
    const { firstTokenAt, firstSpeechAt } = round
    const since = (at: typeof firstTokenAt) =>
      at._tag === "Some" && at.value >= startedAt ? at.value - startedAt : undefined
    const first =
      stage === "llm"
        ? { ttftMs: since(firstTokenAt), ...model }
        : { ttfbMs: since(firstSpeechAt), charactersSpoken: consumed.usage.charactersSpoken }
    return Effect.annotateLogs(Effect.logInfo("turn.stage"), {
      stage,
      ms: log.now() - startedAt,
      ...first,
      ok,
    })
  })

interface GenerateHandlers {
  readonly onText: (text: string) => void
  /** All text so far was thinking. */
  readonly onRetract: () => void
}

/**
 * One try of a model round. Adds its text and calls and, at its end, its usage to the event log; `onText` gets the text too.
 */
const generate = ({ model }: Ports, context: RoundContext, { onText, onRetract }: GenerateHandlers) =>
  Effect.suspend(() => {
    const { turnId, agent, prompt, log, isOwn, onCalls } = context
    const startedAt = log.now()
    const own: Array<ToolCall> = []
    let called = 0
    let removed = 0
    let reason: EndReason | undefined
    const meter = makeRequestMeter(() => promptTokens(prompt), log.used)
    log.push({ _tag: "StageStarted", stage: "llm" })
    return model
      .generate(prompt, { turnId, ...agent.thinking, ...meter.watch }, (event) => {
        meter.onEvent(event)
        if (event._tag === "Removed") removed = event.characters
        if (event._tag === "End") {
          reason = event.reason
          log.push({ _tag: "RoundEnded", reason })
        }
        if (event._tag === "Retract") onRetract()
        if (event._tag === "ToolCall") {
          called += 1
          // A call beyond the bound is not made: the service says so.
          if (called > maxRoundCalls || isOwn(event)) own.push(event)
          else log.push({ ...event, _tag: "ToolCalled", itemId: newId(ItemId), by: "client" })
        }
        if (event._tag !== "Text") return
        log.push({ _tag: "TextDelta", text: event.text })
        onText(event.text)
      })
      .pipe(
        Effect.onExit(({ _tag }) => {
          meter.end()
          const ok = _tag === "Success"
          log.push({ _tag: "StageEnded", stage: "llm", ok })
          return logStage("llm", context, startedAt, ok, { charactersRemoved: removed, reason })
        }),
        Effect.tap(() => Effect.sync(() => onCalls(own))),
      )
  })

/** A segment, and the position of its end in the text of all rounds, in UTF-16 units. */
type PlacedSegment = Segment & { readonly end: number }

const placed = <E>(segments: Stream.Stream<Segment, E>, begin: number): Stream.Stream<PlacedSegment, E> =>
  Stream.mapAccum(segments, begin, (start, segment) => {
    const end = start + segment.text.length
    return [end, { ...segment, end }]
  })

/** Speaks the segments as they come. Texts without words to speak (an emoji, code) have no audio. */
export const speakSegments = <E>(
  { synthesizer }: Pick<Ports, "synthesizer">,
  context: SpeechContext,
  segments: Stream.Stream<PlacedSegment, E>,
) =>
  Option.match(context.speechOutput, {
    onNone: () => Effect.void,
    onSome: (output) => {
      const { turnId, agent, log, conversionSlot } = context
      const { streaming } = log.state().output
      let startedAt: number | undefined
      const requested = segments.pipe(
        Stream.filter(({ spoken }) => spoken !== ""),
        Stream.tap(() =>
          Effect.sync(() => {
            if (startedAt !== undefined) return
            startedAt = log.now()
            log.push({ _tag: "StageStarted", stage: "tts" })
          }),
        ),
      )
      const onRequest = (served: Served, text: string) =>
        log.used({ ...served, stage: "tts" }, { charactersSpoken: text.length })
      return speak(
        requested,
        synthesizer,
        { turnId, output, streaming, onRequest, conversionSlot, ...agent.speaking },
        {
          onAudio: (bytes, ms) => log.append({ _tag: "Audio", bytes, ms }),
          aheadMs: () => log.state().playsUntil - log.now(),
          onSegmentDone: ({ end }) => log.append({ _tag: "SpokenTo", text: end, ms: log.state().audioMs }),
        },
      ).pipe(
        Effect.onExit(({ _tag }) => {
          if (startedAt === undefined) return Effect.void
          const ok = _tag === "Success"
          log.push({ _tag: "StageEnded", stage: "tts", ok })
          return logStage("tts", context, startedAt, ok)
        }),
        Effect.zipRight(
          Effect.sync(() => {
            const state = log.state()
            // With the last audio all of the text was spoken, also a code block at its end that has no audio.
            log.push({ _tag: "SpokenTo", text: writtenLength(state), ms: state.audioMs })
          }),
        ),
      )
    },
  })

/** Speaks the texts, or only marks them as delivered if the reply is not spoken. */
const deliver = (ports: Ports, context: RoundContext, queue: SegmentQueue<ProviderError>) => {
  const { log } = context
  const segments = placed(queue.segments, log.state().round.start.text)
  return Option.isNone(context.speechOutput)
    ? Stream.runForEach(segments, ({ end }) => log.append({ _tag: "SpokenTo", text: end, ms: 0 }))
    : speakSegments(ports, context, segments)
}

/** One try of a model round, spoken while the model writes. */
export const tryRound = (ports: Ports, context: RoundContext) =>
  Effect.gen(function* () {
    const { log, round, messageId } = context
    log.push({ _tag: "RoundStarted", round, messageId })
    /** A model retracts its text once in a try at most. What comes after that has a queue of its own. */
    const first = yield* makeSegmentQueue<ProviderError>(context.agent.speaking.maxCharacters)
    const second = yield* makeSegmentQueue<ProviderError>(context.agent.speaking.maxCharacters)
    let texts = first
    const retracted = yield* Deferred.make<void>()
    /** Fails when the model fails and the round can be retried: the speech of this try is then dropped at once. */
    const broken = yield* Deferred.make<never, ProviderError>()
    const generating = generate(ports, context, {
      onText: (text) => texts.push(text),
      onRetract: () => {
        // What the client got cannot be taken back: its audio goes on.
        const { isSent } = log.state().round
        log.push({ _tag: "Retracted" })
        if (isSent) return
        texts = second
        Deferred.unsafeDone(retracted, Effect.void)
      },
    }).pipe(
      Effect.tapError((error) => (log.state().round.isSent ? Effect.void : Deferred.fail(broken, error))),
    )
    yield* Effect.forkScoped(
      Effect.onExit(generating, (exit) =>
        Effect.sync(() => {
          first.end(exit)
          second.end(exit)
        }),
      ),
    )
    const untilRetracted = runUntil(deliver(ports, context, first), Deferred.await(retracted))
    const delivering = Effect.flatMap(Effect.exit(untilRetracted), (exit) =>
      texts === first ? exit : deliver(ports, context, second),
    )
    yield* Option.isNone(context.speechOutput) ? delivering : runUntil(delivering, Deferred.await(broken))
  }).pipe(Effect.scoped)
