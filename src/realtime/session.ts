import { Cause, Context, Duration, Effect, Fiber, FiberSet, Layer, Option, type Scope } from "effect"
import type { SignedIn } from "../accounts/model.ts"
import type { Agent } from "../agent/agent.ts"
import { Agents } from "../agent/agents.ts"
import { Settings } from "../config.ts"
import { SessionItems } from "../conversation/session-items.ts"
import { Sessions } from "../conversation/sessions.ts"
import type { SessionAgent, TurnSession } from "../conversation/stored-turn.ts"
import { Admission } from "../limits/admission.ts"
import { RateLimits } from "../limits/rate-limits.ts"
import { LanguageModel } from "../providers/language-model.ts"
import type { Served } from "../providers/served.ts"
import { Synthesizer } from "../providers/synthesizer.ts"
import { Transcriber } from "../providers/transcriber.ts"
import { newId, noUsage, SessionId, type Stage, TurnId, type UserId } from "../schema.ts"
import type { TurnError } from "../turn/errors.ts"
import { Turns } from "../turn/turns.ts"
import { makeMeter } from "../usage/bill.ts"
import { charge } from "../usage/charge.ts"
import { Spending } from "../usage/spending.ts"
import { UsageDays } from "../usage/usage-days.ts"
import { VoiceActivity } from "../vad/voice-activity.ts"
import { type Actor, costOf, type Message, makeActor } from "./actor.ts"
import type { Farewell } from "./connection-limits.ts"
import { type Inbox, makeInbox } from "./inbox.ts"
import { makeLinger } from "./linger.ts"
import { makeListener } from "./listening.ts"
import type { Wire } from "./outbox.ts"
import type { ProtocolError } from "./protocol/errors.ts"
import { type AgentFacts, defaultConfig, type SessionConfig } from "./protocol/session-config.ts"
import { readSessionPatch, type SessionPatch } from "./protocol/session-patch.ts"
import { updateConfig } from "./protocol/update-config.ts"
import { makeSettings } from "./settings.ts"
import { makeStoredSession } from "./stored-session.ts"
import { makeTakeovers, sessionDeleted } from "./takeovers.ts"
import { makeWrites } from "./writes.ts"

/** The `session` of a client secret. */
export interface SecretConfig {
  /** What it sets, as it was read. */
  readonly patch: SessionPatch
  /** The whole configuration that sessions with it begin with. */
  readonly config: SessionConfig
}

/** What a handshake asks for. */
export interface RealtimeRequest {
  readonly user: SignedIn
  /** The stored session to continue, as the client sent it. None: a new one. */
  readonly sessionId: Option.Option<string>
  readonly intent: "conversation" | "transcription"
  /** The agent of a new session, as the client sent it. None: that of the configuration. */
  readonly agentId: Option.Option<string>
  /** The settings of the client secret of the handshake. None: an API key opened the connection. */
  readonly config: Option.Option<SecretConfig>
  /** Events sent before the handshake ends reach the client right after it. */
  readonly wire: Wire
}

/** The conversation on one socket. */
export interface RealtimeSession {
  /** Takes one event of the client, as JSON text. Never throws. */
  readonly receive: (message: string) => void
  /** For an end by the service: ends the running responses with their closing events. */
  readonly stop: () => void
  /** For a shutdown: resolves when the running responses have ended. No other ones begin. */
  readonly drain: Effect.Effect<void>
}

/** Items of a continued session that the client can name. The model sees as many as its own limits allow. */
const restoredItems = 200

/** Items with audio of one connection that are transcribed at a time. */
const parallelItems = 2

/** What clients are shown of an agent. `names`: of the engines that serve in the place of its models and its voice. */
const factsOf = (
  { instructions, hearing, thinking, calling }: Agent,
  names: { readonly stt: string; readonly llm: string; readonly tts: string },
): AgentFacts => ({
  model: names.llm,
  instructions,
  voice: names.tts,
  transcriptionModel: names.stt,
  tools: calling.tools.map(({ name, description, parameters }) => ({
    type: "function",
    name,
    ...Option.match(description, { onNone: () => ({}), onSome: (description) => ({ description }) }),
    parameters,
  })),
  ...Option.match(hearing.language, { onNone: () => ({}), onSome: (language) => ({ language }) }),
  ...Option.match(thinking.maxTokens, {
    onNone: () => ({}),
    onSome: (maxOutputTokens) => ({ maxOutputTokens }),
  }),
})

/** ISO 639-1: the client's choice, or the configured one. */
const languageOf = ({ audio }: SessionConfig, { hearing }: Agent): Option.Option<string> =>
  Option.orElse(Option.fromNullable(audio.input.transcription?.language), () => hearing.language)

const failed: Farewell = {
  reason: "defect",
  type: "server_error",
  code: "server_error",
  message: "Something went wrong on our side. Connect again to continue the session.",
  // RFC 6455: the server met a condition that it did not expect.
  closeCode: 1011,
}

/** Gives the actor one message after the other. A defect ends the connection. */
const run = (inbox: Inbox<Message>, actor: Actor, wire: Wire) =>
  inbox.run(actor.handle).pipe(
    Effect.catchAllDefect((defect) =>
      Effect.zipRight(
        Effect.logError("realtime.defect", Cause.die(defect)),
        Effect.sync(() => wire.end(failed)),
      ),
    ),
  )

/** Begins Realtime sessions. */
export class RealtimeSessions extends Context.Tag("voice-agent/RealtimeSessions")<
  RealtimeSessions,
  {
    /** Reads the `session` of a client secret. Another version of the service may have taken what this one refuses. */
    readonly configure: (
      session: unknown,
      owner: { readonly userId: UserId; readonly agent: Option.Option<SessionAgent> },
    ) => Effect.Effect<SecretConfig, ProtocolError | TurnError>
    /** Its failure refuses the handshake. The end of the scope ends everything that the session started. */
    readonly open: (request: RealtimeRequest) => Effect.Effect<RealtimeSession, TurnError, Scope.Scope>
  }
>() {
  static readonly layer = Layer.scoped(
    RealtimeSessions,
    Effect.gen(function* () {
      const agents = yield* Agents
      const settingsOfService = yield* Settings
      const { realtimeSession, realtimeVoices, realtimeSpeculative, interruption } = settingsOfService
      const ports = { stt: yield* Transcriber, llm: yield* LanguageModel, tts: yield* Synthesizer }
      const sessions = yield* Sessions
      const stored = yield* SessionItems
      const turns = yield* Turns
      const admission = yield* Admission
      const limits = yield* RateLimits
      const spending = yield* Spending
      const days = yield* UsageDays
      const voiceActivity = yield* VoiceActivity
      const linger = yield* makeLinger
      const takeovers = yield* makeTakeovers

      /** Without the database the user may be heard: what is said is saved later. */
      const mayPay = (userId: UserId) =>
        Effect.catchTags(spending.check(userId), {
          DatabaseUnavailable: () => Effect.void,
          ConstraintViolated: () => Effect.void,
        })

      /** The configured name, or that of the offline engine that serves in its place. */
      const nameOf = (stage: Stage, configured: string) =>
        settingsOfService[stage].engine === "offline" ? ports[stage].model : Effect.succeed(configured)

      const factsNow = ({ hearing, thinking, speaking }: Agent) =>
        Effect.all({
          stt: nameOf("stt", hearing.model),
          llm: nameOf("llm", thinking.model),
          tts: nameOf("tts", speaking.voice),
        })

      /** What sessions of an agent begin with, and what their updates depend on. */
      const beginningOf = (agent: Agent) =>
        Effect.map(factsNow(agent), (names) => {
          const agentFacts = factsOf(agent, names)
          const facts = {
            voices: [agentFacts.voice, agent.speaking.voice, ...realtimeVoices],
            transcriptionModel: agentFacts.transcriptionModel,
          }
          const configOf = (patch: SessionPatch) =>
            updateConfig(defaultConfig(agentFacts, patch.type), patch, { ...facts, hasAudio: false })
          return { facts, agentFacts, configOf }
        })

      const configure: RealtimeSessions["Type"]["configure"] = (session, owner) =>
        Effect.gen(function* () {
          const patch = yield* readSessionPatch(session)
          // A new session, without metadata.
          const agent = yield* agents.resolve({ ...owner, sessionId: newId(SessionId) })
          const { configOf } = yield* beginningOf(agent)
          return { patch, config: yield* configOf(patch) }
        })

      const newSession = (userId: UserId, agentId: Option.Option<string>) =>
        Effect.map(
          Effect.transposeMapOption(agentId, (id) => agents.choose(userId, { id, version: Option.none() })),
          (agent): TurnSession => ({ id: newId(SessionId), isNew: true, agent: Option.flatten(agent) }),
        )

      const open = Effect.fn("RealtimeSessions.open")(function* (request: RealtimeRequest) {
        const { user, wire } = request
        const { send } = wire
        const clock = yield* Effect.clock
        const now = () => clock.unsafeCurrentTimeMillis()
        const session = yield* Option.match(request.sessionId, {
          onNone: () => newSession(user.id, request.agentId),
          onSome: (id) => sessions.rejoin(user.id, id),
        })
        yield* Effect.annotateLogsScoped({ sessionId: session.id })
        const agent = yield* agents.resolve({
          userId: user.id,
          sessionId: session.id,
          agent: session.agent ?? Option.none(),
        })
        const { facts, agentFacts, configOf } = yield* beginningOf(agent)
        const config = yield* Option.match(request.config, {
          onNone: () =>
            Effect.succeed(
              defaultConfig(agentFacts, request.intent === "transcription" ? request.intent : "realtime"),
            ),
          // It was read with the same agent, or with one whose names alone differ.
          onSome: ({ patch }) => Effect.orDie(configOf(patch)),
        })
        const meter = makeMeter(spending.prices)
        const agentId = Option.getOrUndefined(Option.map(session.agent ?? Option.none(), ({ id }) => id))
        const payer = { userId: user.id, keyId: user.keyId, agentId }
        const conversation = makeStoredSession(payer, session, stored, meter)
        // The last to end: the connection has saved all that it has by then.
        yield* takeovers.take(
          { userId: user.id, session: conversation, end: wire.end },
          { isContinued: Option.isSome(request.sessionId) },
        )
        const earlier = session.isNew ? [] : yield* stored.newest(session.id, restoredItems)

        const onSessionGone = () => wire.end(sessionDeleted)
        const inbox = yield* makeInbox(costOf)
        // It saves what the parts below still add at their end.
        const writes = yield* makeWrites({
          linger,
          save: conversation.append,
          onDropped: conversation.giveUp,
          onSessionGone,
        })
        const settings = makeSettings({
          id: session.id,
          expiresAt: Math.floor((now() + Duration.toMillis(realtimeSession)) / 1000),
          config,
          facts,
          send,
        })
        const language = () => languageOf(settings.config(), agent)
        const hearing = {
          ...agent.hearing,
          get language() {
            return language()
          },
        }
        // It costs as much as a turn where no response follows, which would count as one.
        const taken = Effect.suspend(() =>
          limits.take(settings.config().type === "transcription" ? "turns" : "requests", user.id),
        )
        const count = Effect.zipRight(mayPay(user.id), taken)
        const transcriber: Transcriber["Type"] = {
          ...ports.stt,
          transcribe: (speech, options) => {
            const usage = { ...noUsage, audioSeconds: speech.seconds }
            const onRequest = (served: Served) => meter.add({ ...served, stage: "stt", usage })
            return ports.stt.transcribe(speech, { ...options, onRequest })
          },
        }
        const charging = Effect.asVoid(charge(meter, (consumed) => days.add(payer, consumed)))
        // What was transcribed until the end.
        yield* Effect.addFinalizer(() => charging)
        const listener = yield* makeListener({
          on: (event) => inbox.add({ _tag: "Heard", event }),
          voiceActivity,
          transcriber,
          hearing,
          interruption,
          turnDetection: config.audio.input.turn_detection,
          count,
        })
        const permits = yield* Effect.makeSemaphore(parallelItems)
        const actor = makeActor({
          user,
          session: conversation,
          restored: earlier,
          settings,
          agentFacts,
          hearing,
          greets: earlier.length === 0 && Option.isSome(agent.greeting),
          speculates: realtimeSpeculative,
          wire,
          listener,
          writes,
          onSessionGone,
          services: { stored, turns, limits, admission },
          transcribe: (speech) =>
            Effect.map(
              permits.withPermits(1)(
                transcriber.transcribe(speech, { ...hearing, language: language(), turnId: newId(TurnId) }),
              ),
              ({ text }) => ({ text, seconds: speech.seconds }),
            ),
          count,
          meter,
          charge: charging,
          language,
          now,
          fork: yield* FiberSet.makeRuntime<never, void>(),
          offer: inbox.addLast,
          offerNext: inbox.add,
        })
        settings.show()
        const running = yield* Effect.forkScoped(run(inbox, actor, wire))
        // The first to end: the response and the transcriptions still run.
        yield* Effect.addFinalizer(() => actor.leave)
        return {
          receive: (text) => inbox.addLast({ _tag: "Client", text }),
          stop: actor.stop,
          // A session that has ended handles no message any more.
          drain: Effect.asVoid(Effect.raceFirst(actor.drain, Fiber.await(running))),
        } satisfies RealtimeSession
      })

      return { configure, open }
    }),
  )
}
