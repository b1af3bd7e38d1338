import {
  Chunk,
  Context,
  Duration,
  Effect,
  Either,
  Exit,
  FiberRef,
  Layer,
  LogLevel,
  Option,
  Scope,
  Stream,
  Struct,
} from "effect"
import type { Agent } from "../../src/agent/agent.ts"
import { Agents } from "../../src/agent/agents.ts"
import { AgentInvalid } from "../../src/agent/errors.ts"
import { pcm16k } from "../../src/audio/pcm.ts"
import { noPrices, type PriceTable } from "../../src/config/prices.ts"
import { resultsToAdd } from "../../src/conversation/call-results.ts"
import { ClientCalls } from "../../src/conversation/client-calls.ts"
import { History } from "../../src/conversation/history.ts"
import type { Item, NewItem } from "../../src/conversation/item.ts"
import { Ledger } from "../../src/conversation/ledger.ts"
import type { HeardPart } from "../../src/conversation/ledger-items.ts"
import type { CallResult, ContinuedWork } from "../../src/conversation/rounds.ts"
import { RunningTurns } from "../../src/conversation/running-turns.ts"
import { Sessions } from "../../src/conversation/sessions.ts"
import type { EndedTurn, SessionBusy, TurnEnd } from "../../src/conversation/stored-turn.ts"
import { Summaries } from "../../src/conversation/summaries.ts"
import { type BegunRound, ToolCalls } from "../../src/conversation/tool-calls.ts"
import { type DatabaseError, DatabaseUnavailable } from "../../src/db/errors.ts"
import { Ffmpeg } from "../../src/ffmpeg/ffmpeg.ts"
import { ConversionSlots } from "../../src/limits/conversion-slots.ts"
import { DecodingSlots } from "../../src/limits/decoding-slots.ts"
import { type FakeRound, LanguageModel } from "../../src/providers/language-model.ts"
import { type FakeSpeech, Synthesizer } from "../../src/providers/synthesizer.ts"
import { noTools } from "../../src/providers/tools.ts"
import { type FakeTranscript, Transcriber } from "../../src/providers/transcriber.ts"
import { type ItemId, newId, SessionId, TurnId, UserId } from "../../src/schema.ts"
import type { RunnableTool } from "../../src/tools/runnable.ts"
import type { OutputOptions, TurnEvent } from "../../src/turn/events.ts"
import { fromPcm, fromText } from "../../src/turn/input.ts"
import { SessionTarget, type TurnRequest, usualTurn } from "../../src/turn/request.ts"
import { Turns } from "../../src/turn/turns.ts"
import { Spending } from "../../src/usage/spending.ts"
import { UsageDays } from "../../src/usage/usage-days.ts"

/** Each is long enough to be a segment of its own: the second segment takes 60 characters. */
export const sentences = [
  "One sentence is here now.",
  "Another one follows it at once, and it is longer than the first was.",
  "And this is the third of them.",
]
/** 100 ms of 24 kHz samples. */
export const tenth = new Uint8Array(4800)
/** A second of speech: a square wave of 500 Hz. */
export const loud = fromPcm(pcm16k(new Uint8Array(32_000).map((_, at) => (at % 64 < 32 ? 60 : 196))))

export const agent: Agent = {
  instructions: "Be brief.",
  greeting: Option.none(),
  hearing: { model: "ears", language: Option.some("en"), silenceDbfs: -60, maxSeconds: 10, keyTerms: [] },
  thinking: { model: "brain", temperature: Option.some(0.5), maxTokens: Option.some(50) },
  calling: noTools,
  acting: {
    tools: [],
    maxRounds: 8,
    timeout: Duration.seconds(20),
    filler: { after: Option.some(Duration.millis(1200)), sentence: Option.none() },
  },
  speaking: { model: "mouth", voice: "calm", maxCharacters: Option.none() },
  history: { maxItems: 20, maxTokens: 1000, isSummarized: false },
  origin: Option.none(),
  firstOutputTimeout: Duration.seconds(60),
}

export interface FakeScript {
  readonly hears?: ReadonlyArray<FakeTranscript>
  readonly thinks?: ReadonlyArray<FakeRound>
  readonly speaks?: ReadonlyArray<FakeSpeech>
  /** What the agent of the session has otherwise than the configured one. */
  readonly agent?: Partial<Agent>
  readonly history?: ReadonlyArray<Item>
  /** Resolves when no earlier turn is running. */
  readonly ready?: Effect.Effect<void, SessionBusy | DatabaseError>
  /** The tools that the service runs. */
  readonly tools?: ReadonlyArray<RunnableTool>
  /** What the turn before with the same Idempotency-Key has done. */
  readonly continued?: ContinuedWork
  /** How many rounds fail to be recorded, because the database is away. */
  readonly recordsThatFail?: number
  /** How long a turn waits until it is in the queue of its session. */
  readonly claimMs?: number
  readonly prices?: PriceTable
  /** Whether the user may spend more. */
  readonly mayPay?: Spending["Type"]["check"]
  /** How long a save takes. */
  readonly saveMs?: number
  /** How long it takes to cut a saved reply. */
  readonly truncateMs?: number
  /** The number of saves that fail because the database is away. */
  readonly savesThatFail?: number
  /** How many saves after those are carried out, but their answer is lost. */
  readonly answersThatAreLost?: number
}

const unused = Effect.dieMessage("not used by these tests")

/** Turns on the test clock: the three ports and the database are fakes, everything else is as in production. */
export const makeFakeTurns = Effect.fnUntraced(function* (script: FakeScript = {}) {
  yield* Effect.locallyScoped(FiberRef.currentMinimumLogLevel, LogLevel.None)
  const transcriber = Transcriber.makeFake(script.hears)
  const model = LanguageModel.makeFake(
    script.thinks ?? [{ chunks: sentences.map((text) => ({ text: `${text} ` })) }],
  )
  const synthesizer = Synthesizer.makeFake(script.speaks ?? [{ chunks: [{ bytes: tenth }] }])
  const saved: Array<EndedTurn> = []
  const failed: Array<Parameters<Ledger["Type"]["fail"]>[0]> = []
  const truncated: Array<HeardPart> = []
  let savesThatFail = script.savesThatFail ?? 0
  let answersThatAreLost = script.answersThatAreLost ?? 0
  const ends = new Map<TurnId, TurnEnd>()
  const recorded: Array<BegunRound> = []
  const results = new Map<ItemId, CallResult>()
  let recordsThatFail = script.recordsThatFail ?? 0
  const left: Array<TurnId> = []
  const summaries: Array<string> = []

  const ledger = Ledger.of({
    open: () => unused,
    enqueue: () => unused,
    ahead: () => unused,
    renew: () => unused,
    save: (turn) =>
      Effect.suspend(() => {
        savesThatFail -= 1
        if (savesThatFail >= 0) return new DatabaseUnavailable({ cause: "away" })
        const commit = Effect.suspend(() => {
          const earlier = ends.get(turn.id)
          if (earlier !== undefined) return Effect.succeed(earlier)
          ends.set(turn.id, turn.state)
          saved.push(turn)
          answersThatAreLost -= 1
          return answersThatAreLost >= 0
            ? new DatabaseUnavailable({ cause: "no answer" })
            : Effect.succeed(turn.state)
        })
        // As in production, an interruption does not wait for a COMMIT that is on its way.
        return Effect.disconnect(Effect.uninterruptible(Effect.delay(commit, script.saveMs ?? 0)))
      }),
    saveAt: () => unused,
    removeItem: () => unused,
    fail: (turn) =>
      Effect.sync(() => {
        const earlier = ends.get(turn.id)
        if (earlier !== undefined) return earlier
        failed.push(turn)
        return "failed" as const
      }),
    truncate: (_user, _item, heard) =>
      Effect.delay(
        Effect.sync(() => void truncated.push(heard)),
        script.truncateMs ?? 0,
      ),
    requestCancel: () => unused,
    isRunning: () => unused,
    freeKey: () => unused,
    continueTurn: () => unused,
    recover: () => Effect.void,
    endDead: unused,
    expire: () => unused,
    takeOver: () => unused,
    endedSessions: () => unused,
  })
  const record = Layer.succeed(ToolCalls, {
    begin: (round) =>
      Effect.suspend(() => {
        recordsThatFail -= 1
        if (recordsThatFail >= 0) return new DatabaseUnavailable({ cause: "away" })
        recorded.push(round)
        return Effect.void
      }),
    finish: (call, result) => Effect.sync(() => void results.set(call, result)),
  })
  // Without renewals of the lease: each sleep that ends on the test clock takes 10 ms of real time.
  const running = Layer.succeed(RunningTurns, {
    register: () => Effect.succeed(Effect.never),
    claim: ({ id }) => {
      const leave = Effect.sync(() => void left.push(id))
      const ticket = { ready: script.ready ?? Effect.void, issued: Effect.succeed(true), leave }
      return Effect.delay(
        Effect.succeed({ _tag: "First", ticket, continued: Option.fromNullable(script.continued) }),
        script.claimMs ?? 0,
      )
    },
    enter: () => unused,
    adopt: () => Effect.as(script.ready ?? Effect.void, Option.some<void>(undefined)),
    answered: () => Effect.succeedNone,
    cancel: () => unused,
    endDeleted: () => unused,
  })
  const own = { ...agent, ...script.agent, acting: { ...agent.acting, tools: script.tools ?? [] } }
  const layer = Turns.layer.pipe(
    Layer.provide(
      Layer.mergeAll(
        Layer.succeed(Ledger, ledger),
        record,
        running,
        Layer.succeed(Summaries, {
          begin: (sessionId, _limit, plan) =>
            Effect.sync(() =>
              Option.map(plan(script.history ?? []), (plan) => ({
                lease: { sessionId, id: crypto.randomUUID() },
                plan,
              })),
            ),
          save: (_lease, text) => Effect.sync(() => summaries.push(text) > 0),
          release: () => Effect.void,
        }),
        transcriber.layer,
        model.layer,
        synthesizer.layer,
        Layer.succeed(Agents, {
          configured: own,
          read: () => Either.left(new AgentInvalid({ field: "body", reason: "is not read here" })),
          warnings: () => Effect.succeed([]),
          choose: () => Effect.succeedNone,
          resolve: () => Effect.succeed(own),
        }),
        Layer.succeed(History, {
          messages: () => unused,
          newest: () => Effect.succeed(script.history ?? []),
          forPrompt: () => Effect.succeed(script.history ?? []),
        }),
        Layer.succeed(ClientCalls, {
          turn: () => unused,
          open: () => unused,
          accept: (_session, turnId, results) =>
            Effect.suspend(() =>
              Either.match(
                resultsToAdd(
                  (script.history ?? []).map((item) => ({ ...item, state: "completed" as const })),
                  turnId,
                  results,
                ),
                { onLeft: Effect.fail, onRight: Effect.succeed },
              ),
            ),
        }),
        Layer.succeed(Sessions, {
          join: () => Effect.succeed({ id: newId(SessionId), isNew: true }),
          rejoin: () => unused,
          create: () => unused,
          list: () => unused,
          get: () => unused,
          update: () => unused,
          remove: () => unused,
        }),
        Layer.succeed(Ffmpeg, {
          decode: () => unused,
          reencode: () => unused,
          startConversion: () => {
            throw new Error("not used by these tests")
          },
        }),
        Layer.succeed(UsageDays, { list: () => unused, today: unused, add: () => Effect.void }),
        Layer.succeed(Spending, {
          prices: script.prices ?? noPrices,
          check: script.mayPay ?? (() => Effect.void),
          month: () => unused,
        }),
        Layer.succeed(DecodingSlots, { withSlot: (_, effect) => effect }),
        ConversionSlots.layer,
      ),
    ),
  )
  const turns = Context.get(yield* Layer.build(layer), Turns)
  return {
    turns,
    ledger,
    saved,
    failed,
    truncated,
    left,
    recorded,
    results,
    summaries,
    heardSpeech: transcriber.calls,
    prompts: model.calls,
    spoken: synthesizer.calls,
  }
})

export const streamed: OutputOptions = { format: "pcm", streamsText: true, streaming: true }
export const whole: OutputOptions = { ...streamed, streaming: false, streamsText: false }

export const requestOf = (
  options: { readonly output?: OutputOptions; readonly key?: string } & Partial<
    Pick<TurnRequest, "input" | "agent" | "context" | "itemIds" | "target">
  > = {},
): TurnRequest => ({
  turnId: newId(TurnId),
  userId: newId(UserId),
  target: SessionTarget.Preferred({ sessionId: Option.none() }),
  input: fromText("What is the weather?"),
  output: options.output ?? streamed,
  idempotencyKey: Option.fromNullable(options.key),
  uploadMs: 3,
  ...usualTurn,
  ...Struct.pick(options, "input", "agent", "context", "itemIds", "target"),
})

/** Starts a turn and reads its events in a fiber. `leave` disconnects the client. */
export const converse = Effect.fnUntraced(function* (turns: Turns["Type"], request: TurnRequest) {
  const scope = yield* Scope.make()
  const events: Array<TurnEvent> = []
  const begun = yield* Scope.extend(turns.begin(request), scope)
  const reading = yield* Effect.fork(
    Effect.exit(
      Stream.runForEachChunk(begun.events, (chunk) =>
        Effect.sync(() => events.push(...Chunk.toReadonlyArray(chunk))),
      ),
    ),
  )
  return {
    turn: begun,
    events,
    tags: () => events.map(({ _tag }) => _tag),
    text: () => events.flatMap((event) => (event._tag === "TextDelta" ? [event.text] : [])).join(""),
    audioBytes: () =>
      events.reduce((sum, event) => sum + (event._tag === "Audio" ? event.bytes.length : 0), 0),
    end: reading,
    leave: Scope.close(scope, Exit.void),
  }
})

export const textOf = ({ payload }: NewItem) => ("text" in payload ? payload.text : "")
