import * as BunFileSystem from "@effect/platform-bun/BunFileSystem"
import { Cause, Effect, Exit, Runtime, Schema, type Scope } from "effect"
import { makeStartFfmpeg } from "../../ffmpeg/sandbox.ts"
import { complete } from "./chat.ts"
import { makeSlots } from "./children.ts"
import { makeHearing } from "./hearing.ts"
import { makeSpeaking } from "./speaking.ts"
import { errorResponse, RequestRefused, refuse } from "./wire.ts"

/** The engines cannot run on this machine; the message is one sentence for whoever starts the service. */
export class OfflineEnginesFailed extends Schema.TaggedError<OfflineEnginesFailed>()("OfflineEnginesFailed", {
  message: Schema.String,
}) {}

export interface OfflineEngines {
  /** Like "http://127.0.0.1:41234/v1": what an OpenAI client takes as its base URL, with any key. */
  readonly baseUrl: string
  readonly hearing: "pocketsphinx" | "none"
  readonly speaking: "espeak-ng" | "none"
}

/** OpenAI's own limit on a recording is 25 MB; the rest is room for the other parts of the form, in bytes. */
const largestBody = 26 * 1024 * 1024

type Handler = (request: Request) => Effect.Effect<Response, RequestRefused>

const transcription = (hearing: Effect.Effect.Success<ReturnType<typeof makeHearing>>): Handler =>
  Effect.fn("Offline.transcription")(function* (request) {
    const form = yield* Effect.tryPromise({
      try: () => request.formData(),
      catch: () => refuse("Could not parse multipart form."),
    })
    const file = form.get("file")
    const format = form.get("response_format") ?? "json"
    if (!(file instanceof File))
      return yield* refuse("Missing required parameter: 'file'.", "file", "missing_required_parameter")
    if (!form.get("model"))
      return yield* refuse("Missing required parameter: 'model'.", "model", "missing_required_parameter")
    if (format !== "json" && format !== "verbose_json" && format !== "text") {
      return yield* refuse("Invalid value for 'response_format'.", "response_format", "invalid_value")
    }
    const { text, seconds } = yield* hearing.transcribe(yield* Effect.promise(() => file.bytes()))
    if (format === "text") return new Response(`${text}\n`)
    if (format === "json") return Response.json({ text })
    return Response.json({ task: "transcribe", language: "english", duration: seconds, text, segments: [] })
  })

const models: Handler = () =>
  Effect.succeed(
    Response.json({
      object: "list",
      data: ["whisper-1", "gpt-3.5-turbo", "tts-1"].map((id) => ({
        id,
        object: "model",
        created: 0,
        owned_by: "offline",
      })),
    }),
  )

type Routes = ReadonlyMap<string, { readonly method: string; readonly handler: Handler }>

const answer = (routes: Routes) =>
  Effect.fn("Offline.answer")(function* (request: Request) {
    const { pathname } = new URL(request.url)
    const route = routes.get(pathname)
    if (route === undefined) {
      return yield* new RequestRefused({
        status: 404,
        message: `Invalid URL (${request.method} ${pathname})`,
        param: null,
        code: "unknown_url",
      })
    }
    if (route.method !== request.method) {
      return yield* new RequestRefused({
        status: 405,
        message: `Not allowed to ${request.method} on ${pathname}.`,
        param: null,
        code: "method_not_supported",
      })
    }
    return yield* route.handler(request)
  })

const failed = (cause: Cause.Cause<RequestRefused>) =>
  Effect.gen(function* () {
    const [refused] = Cause.failures(cause)
    if (refused !== undefined) return errorResponse(refused.status, refused)
    yield* Effect.logError("provider.offline_failed", cause)
    return errorResponse(500, { message: "The offline engine failed.", param: null, code: null })
  })

/** The one way from an Effect to Bun.serve: the client's hang-up interrupts it. */
const toFetch =
  (runtime: Runtime.Runtime<never>, handler: Handler) =>
  async (request: Request): Promise<Response> => {
    const effect = Effect.catchAllCause(handler(request), failed)
    const exit = await Runtime.runPromiseExit(runtime)(effect, { signal: request.signal })
    // Interrupted: nobody reads this any more. 499 is what proxies log for it.
    return Exit.isSuccess(exit) ? exit.value : new Response(null, { status: 499 })
  }

/** A proxy that the environment names would be asked for this machine's own ports too. */
const bypassProxy = Effect.sync(() => {
  const hosts = [process.env.NO_PROXY, process.env.no_proxy, "127.0.0.1"].filter(Boolean).join(",")
  process.env.NO_PROXY = hosts
  process.env.no_proxy = hosts
})

/**
 * Starts the engines' server; it ends with the scope, and every child process with it.
 * `searchPath` is where the programs are looked for, PATH unless given.
 */
export const startOfflineEngines: (options: {
  readonly ffmpegPath: string
  readonly searchPath?: string
}) => Effect.Effect<OfflineEngines, OfflineEnginesFailed, Scope.Scope> = Effect.fn("Offline.start")(
  function* (options) {
    const searchPath = options.searchPath ?? process.env.PATH ?? ""
    const ffmpeg = Bun.which(options.ffmpegPath, { PATH: searchPath })
    if (ffmpeg === null) {
      return yield* new OfflineEnginesFailed({
        message: `The offline engines need ffmpeg, and "${options.ffmpegPath}" is not a program here.`,
      })
    }
    const startFfmpeg = makeStartFfmpeg(ffmpeg)
    yield* bypassProxy
    const takeSlot = yield* makeSlots
    const hearing = yield* makeHearing({ startFfmpeg, searchPath, takeSlot })
    const speaking = makeSpeaking({ startFfmpeg, searchPath, takeSlot })
    const routes: Routes = new Map([
      ["/v1/audio/transcriptions", { method: "POST", handler: transcription(hearing) }],
      ["/v1/chat/completions", { method: "POST", handler: complete }],
      ["/v1/audio/speech", { method: "POST", handler: speaking.speak }],
      ["/v1/models", { method: "GET", handler: models }],
    ])
    const fetch = toFetch(yield* Effect.runtime<never>(), answer(routes))
    const server = yield* Effect.acquireRelease(
      Effect.try({
        // No idle time-out: ten seconds of silence are normal while a long recording is recognised.
        try: () =>
          Bun.serve({
            hostname: "127.0.0.1",
            port: 0,
            idleTimeout: 0,
            maxRequestBodySize: largestBody,
            fetch,
          }),
        catch: (cause) =>
          new OfflineEnginesFailed({
            message: `The offline engines could not listen on 127.0.0.1: ${cause}`,
          }),
      }),
      (server) => Effect.promise(() => server.stop(true)),
    )
    return {
      baseUrl: `http://127.0.0.1:${server.port}/v1`,
      hearing: hearing.engine,
      speaking: speaking.engine,
    }
  },
  Effect.provide(BunFileSystem.layer),
)
