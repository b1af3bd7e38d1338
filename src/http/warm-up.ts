import { Duration, Effect, Layer, Option, Redacted } from "effect"
import { Keys } from "../accounts/keys.ts"
import { configuredAgent } from "../agent/configured.ts"
import { makePrompt } from "../agent/prompt.ts"
import { pcm16k } from "../audio/pcm.ts"
import { shortSilence } from "../audio/quiet.ts"
import { Settings } from "../config.ts"
import { History } from "../conversation/history.ts"
import { Ledger } from "../conversation/ledger.ts"
import { ToolCalls } from "../conversation/tool-calls.ts"
import { Ffmpeg } from "../ffmpeg/ffmpeg.ts"
import { cleanReplies } from "../providers/language-model.ts"
import { Lessons } from "../providers/lessons.ts"
import { makeClient } from "../providers/openai/client.ts"
import { generateWith } from "../providers/openai/language-model.ts"
import { speakWith } from "../providers/openai/synthesizer.ts"
import { transcribeWith } from "../providers/openai/transcriber.ts"
import { ItemId, newId, SessionId, Stage, TurnId, UserId } from "../schema.ts"
import * as Telemetry from "../telemetry.ts"
import { makeTurnLog } from "../turn/log.ts"
import { reply } from "../turn/reply.ts"
import { drain } from "../turn/take.ts"
import { Spending } from "../usage/spending.ts"
import { renderings } from "./renderings.ts"
import { HttpServer } from "./server.ts"

/** Turns that are rehearsed. The first one costs four times as much as the third, and later ones hardly less than that. */
const rehearsals = 3

const words = "This is the first sentence. This is the second one, which is a little longer.".split(/(?<= )/)

const chat = [
  ...words.map((content) => ({ choices: [{ delta: { content } }] })),
  { choices: [{ delta: {}, finish_reason: "stop" }], usage: { prompt_tokens: 1, completion_tokens: 1 } },
]
const events = [...chat.map((each) => JSON.stringify(each)), "[DONE]"].map((data) => `data: ${data}\n\n`)

const streamed = (type: string, chunks: ReadonlyArray<string | Uint8Array>) =>
  new Response(
    async function* () {
      for (const chunk of chunks) yield chunk
    },
    { headers: { "content-type": type } },
  )

const silence = shortSilence("mp3")

const answer = async (request: Request): Promise<Response> => {
  await request.bytes()
  const { pathname } = new URL(request.url)
  if (pathname.endsWith("/audio/transcriptions")) return Response.json({ text: "Hello." })
  if (pathname.endsWith("/chat/completions")) return streamed("text/event-stream", events)
  return streamed(
    "audio/mpeg",
    Array.from({ length: 20 }, () => silence),
  )
}

/** A provider in this process that answers at once, on a port of its own. */
const startProvider = Effect.acquireRelease(
  Effect.sync(() => Bun.serve({ hostname: "127.0.0.1", port: 0, development: false, fetch: answer })),
  (server) => Effect.promise(() => server.stop(true)),
)

/**
 * Rehearses turns: all that a turn does besides writing to the database and serving its request. Bun compiles functions with
 * their first calls, and the first statements open connections: without this, the first user waits 0.1 s longer.
 */
const rehearse = Effect.gen(function* () {
  const settings = yield* Settings
  const { startConversion } = yield* Ffmpeg
  const lessons = yield* Lessons
  const [keys, history, ledger, spending] = [yield* Keys, yield* History, yield* Ledger, yield* Spending]
  const record = yield* ToolCalls
  const { url } = yield* startProvider
  const client = (stage: Stage) =>
    makeClient(
      {
        ...settings[stage],
        engine: "compatible",
        baseUrl: Option.some(`${url}v1`),
        apiKey: Redacted.make("rehearsal"),
        keyHeader: Option.none(),
        extraBody: {},
      },
      lessons,
    )
  const transcribe = transcribeWith(client("stt"), settings.sttResponseFormat)
  const ports = {
    model: { generate: cleanReplies(generateWith(client("llm"))) },
    synthesizer: {
      speak: speakWith(client("tts"), { startConversion, format: settings.ttsFormat }),
      status: Effect.succeed("ok" as const),
      model: Effect.succeed(settings.tts.model),
    },
  }
  const agent = configuredAgent(settings, [])
  const { output, render } = renderings["audio/mpeg"]
  const rehearsal = Effect.gen(function* () {
    const [turnId, userId, sessionId] = [newId(TurnId), newId(UserId), newId(SessionId)]
    const log = yield* makeTurnLog({ output, keepsAudio: false, uploadMs: 0 })
    // At the same time, so that several connections are open. Nothing is found.
    yield* Effect.all(
      [
        Effect.exit(keys.authenticate(Redacted.make("rehearsal"))),
        Effect.exit(history.forPrompt(sessionId, agent.history.maxItems)),
        Effect.exit(ledger.isRunning(turnId)),
        Effect.exit(spending.check(userId)),
      ],
      { concurrency: "unbounded", discard: true },
    )
    log.push({ _tag: "Started", sessionId, turnId, replayOf: Option.none() })
    const { text } = yield* transcribe(pcm16k(new Uint8Array(32_000)), { turnId, ...agent.hearing })
    log.push({ _tag: "Heard", text, source: { bytes: 0, type: "wav" } })
    yield* reply(ports, {
      turnId,
      userId,
      sessionId,
      agent,
      log,
      record,
      adopted: Effect.void,
      prompt: makePrompt(agent, [], Option.some(text)),
      earlierRounds: 0,
      messageId: newId(ItemId),
      conversionSlot: Effect.void,
    }).pipe(
      Effect.zipRight(Effect.sync(() => log.push({ _tag: "Completed" }))),
      Effect.zipRight(log.end),
      Effect.onError(log.fail),
      Effect.forkScoped,
    )
    const { body } = yield* render({ take: log.take, state: log.state })
    yield* drain(body, () => Effect.void)
  }).pipe(Effect.scoped)
  yield* Effect.replicateEffect(rehearsal, rehearsals, { discard: true })
}).pipe(Effect.scoped, Effect.timeout("10 seconds"), Telemetry.silently)

/** Rehearses turns in the background, once the service listens. For production only: a developer restarts often. */
export const layer = Layer.scopedDiscard(
  Effect.gen(function* () {
    yield* HttpServer
    const settings = yield* Settings
    const isOffline = Stage.literals.some((stage) => settings[stage].engine === "offline")
    if (settings.environment !== "production" || isOffline) return
    yield* Effect.timed(rehearse).pipe(
      Effect.flatMap(([duration]) =>
        Effect.annotateLogs(Effect.logDebug("server.warmed_up"), {
          ms: Math.round(Duration.toMillis(duration)),
        }),
      ),
      // Without it the first turns are slower. Nothing else depends on it.
      Effect.catchAllCause((cause) => Effect.logDebug("server.warm_up_failed", cause)),
      Effect.forkScoped,
    )
  }),
).pipe(Layer.provide(Lessons.layerMemory))
