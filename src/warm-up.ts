import * as FileSystem from "@effect/platform/FileSystem"
import { Context, Duration, Effect, FiberSet, Layer, Option, Redacted } from "effect"
import { Keys } from "./accounts/keys.ts"
import { configuredAgent } from "./agent/configured.ts"
import { makePrompt } from "./agent/prompt.ts"
import { shortSilence } from "./audio/quiet.ts"
import { wavHeader } from "./audio/wav.ts"
import { Settings } from "./config.ts"
import { History } from "./conversation/history.ts"
import { Ledger } from "./conversation/ledger.ts"
import { ToolCalls } from "./conversation/tool-calls.ts"
import { Ffmpeg } from "./ffmpeg/ffmpeg.ts"
import { renderings } from "./http/renderings.ts"
import { makeRun } from "./http/run.ts"
import { HttpServer } from "./http/server.ts"
import { streamed } from "./http/streaming.ts"
import { receiveUpload } from "./http/upload.ts"
import { Uploads } from "./limits/uploads.ts"
import { cleanReplies } from "./providers/language-model.ts"
import { Lessons } from "./providers/lessons.ts"
import { makeClient } from "./providers/openai/client.ts"
import { generateWith } from "./providers/openai/language-model.ts"
import { speakWith } from "./providers/openai/synthesizer.ts"
import { transcribeWith } from "./providers/openai/transcriber.ts"
import { ItemId, newId, SessionId, Stage, TurnId, UserId } from "./schema.ts"
import * as Telemetry from "./telemetry.ts"
import { hear } from "./turn/hear.ts"
import { makeFromFile } from "./turn/input.ts"
import { makeTurnLog } from "./turn/log.ts"
import { reply } from "./turn/reply.ts"
import { Spending } from "./usage/spending.ts"

/** Between two rehearsed turns, for other work. */
const pause = Duration.millis(50)

const words = "This is the first sentence. This is the second one, which is a little longer.".split(/(?<= )/)

const chat = [
  ...words.map((content) => ({ choices: [{ delta: { content } }] })),
  { choices: [{ delta: {}, finish_reason: "stop" }], usage: { prompt_tokens: 1, completion_tokens: 1 } },
]
const events = [...chat.map((each) => JSON.stringify(each)), "[DONE]"].map((data) => `data: ${data}\n\n`)

const chunked = (type: string, chunks: ReadonlyArray<string | Uint8Array>) =>
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
  if (pathname.endsWith("/chat/completions")) return chunked("text/event-stream", events)
  return chunked(
    "audio/mpeg",
    Array.from({ length: 20 }, () => silence),
  )
}

/** The path of a rehearsed turn. */
const turnPath = "/turn"

/** In this process, on a port of its own: a provider that answers at once, and the route of the rehearsed turn. */
const startServer = (turn: (request: Request) => Promise<Response>) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      Bun.serve({
        hostname: "127.0.0.1",
        port: 0,
        development: false,
        fetch: (request) => (request.url.endsWith(turnPath) ? turn(request) : answer(request)),
      }),
    ),
    (server) => Effect.promise(() => server.stop(true)),
  )

/** A second of noise, as a client uploads it. */
const makeForm = () => {
  const samples = Uint8Array.from({ length: 32_000 }, (_, i) => i * 37)
  const shape = { sampleRate: 16_000, channels: 1, bitsPerSample: 16, dataBytes: samples.length }
  const form = new FormData()
  form.set("audio", new Blob([wavHeader(shape).slice(), samples]), "rehearsal.wav")
  return form
}

/**
 * Rehearses turns over HTTP: all that a turn does besides writing to the database. Bun compiles functions with their first
 * calls, and the first statements open connections: without this, the first user waits 0.1 s longer. To write the rows of a
 * turn in a transaction and take them back gained nothing more.
 */
const rehearse = Effect.gen(function* () {
  const settings = yield* Settings
  const { startConversion } = yield* Ffmpeg
  const lessons = yield* Lessons
  const [keys, history, ledger, spending] = [yield* Keys, yield* History, yield* Ledger, yield* Spending]
  const record = yield* ToolCalls
  // Its own, so that a rehearsal takes the place of no upload.
  const uploads = Context.get(yield* Layer.build(Layer.fresh(Uploads.layer)), Uploads)
  const fromFile = yield* makeFromFile
  const fs = yield* FileSystem.FileSystem
  const run = yield* makeRun
  const open = yield* FiberSet.make()
  const server = yield* startServer((request) => turn(request))
  const client = (stage: Stage) =>
    makeClient(
      {
        ...settings[stage],
        engine: "compatible",
        baseUrl: Option.some(`${server.url}v1`),
        apiKey: Redacted.make("rehearsal"),
        keyHeader: Option.none(),
        extraBody: {},
      },
      lessons,
    )
  const transcriber = {
    transcribe: transcribeWith(client("stt"), settings.sttResponseFormat),
    status: Effect.succeed("ok" as const),
    model: Effect.succeed(settings.stt.model),
  }
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
  const rehearsal = Effect.fnUntraced(
    function* (request: Request) {
      const [turnId, userId, sessionId] = [newId(TurnId), newId(UserId), newId(SessionId)]
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
      const { upload } = yield* receiveUpload({ request, userId }, uploads, settings)
      const log = yield* makeTurnLog({ output, keepsAudio: false, uploadMs: 0 })
      log.push({ _tag: "Started", sessionId, turnId, replayOf: Option.none() })
      const heard = yield* hear(transcriber, fromFile(upload), { turnId, userId, agent, log })
      log.push({ _tag: "Heard", ...heard })
      yield* reply(ports, {
        turnId,
        userId,
        sessionId,
        agent,
        log,
        record,
        adopted: Effect.void,
        prompt: makePrompt(agent, [], Option.some(heard.text)),
        earlierRounds: 0,
        messageId: newId(ItemId),
        conversionSlot: Effect.void,
      }).pipe(
        Effect.zipRight(Effect.sync(() => log.push({ _tag: "Completed" }))),
        Effect.zipRight(log.end),
        Effect.onError(log.fail),
        Effect.forkScoped,
      )
      return yield* render({ take: log.take, state: log.state })
    },
    Effect.provideService(FileSystem.FileSystem, fs),
  )
  const turn = (request: Request): Promise<Response> => {
    const client = { signal: request.signal, timeout: settings.clientTimeout, hangUp: () => undefined }
    return run(request, streamed(client, open, rehearsal(request)))
  }
  const send = Effect.promise(async (signal) => {
    const url = new URL(turnPath, server.url)
    const response = await fetch(url, { method: "POST", body: makeForm(), signal })
    const { length } = await response.bytes()
    if (!response.ok || length === 0) throw new Error(`The rehearsed turn failed with ${response.status}.`)
  })
  yield* Effect.replicateEffect(Effect.zipLeft(send, Effect.sleep(pause)), settings.warmUpTurns, {
    discard: true,
  })
}).pipe(
  Effect.scoped,
  // For a hang only: on a machine with much else to do it takes seconds.
  Effect.timeout("1 minute"),
  // Operators count the turns in their traces.
  Effect.withTracerEnabled(false),
  Telemetry.silently,
)

/** Rehearses turns in the background, once the service listens. For production only: a developer restarts often. */
export const layer = Layer.scopedDiscard(
  Effect.gen(function* () {
    yield* HttpServer
    const settings = yield* Settings
    const isOffline = Stage.literals.some((stage) => settings[stage].engine === "offline")
    if (settings.environment !== "production" || isOffline || settings.warmUpTurns === 0) return
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
