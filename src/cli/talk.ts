import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import { Console, Duration, Effect, Option } from "effect"
import { makeClient } from "../client/client.ts"
import { accountOptions, call, identify } from "./account.ts"
import { CommandFailed } from "./exit-code.ts"
import { record } from "./microphone.ts"
import { startPlayer } from "./player.ts"
import { json } from "./print.ts"
import { recall, remember } from "./state.ts"

const files = Args.file({ name: "FILE", exists: "yes" }).pipe(
  Args.repeated,
  Args.withDescription("Recordings, a turn each; without one the microphone is recorded until Enter"),
)

const options = {
  files,
  ...accountOptions,
  isNew: Options.boolean("new").pipe(Options.withDescription("Begin another session")),
  output: Options.file("output").pipe(
    Options.withAlias("o"),
    Options.optional,
    Options.withDescription("Save the spoken answer here, an MP3, instead of playing it"),
  ),
  json,
}

interface Turn {
  readonly path: string
  readonly url: string
  readonly apiKey: string
  readonly sessionId: string | undefined
  readonly output: Option.Option<string>
  readonly json: boolean
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`

/** What a terminal would obey does not belong in what was said. */
const harmless = (text: string) => text.replaceAll(/[^\P{Cc}\n\t]/gu, "")

/** Of the service's end of a turn that is no longer wanted, which otherwise goes on: it has an Idempotency-Key. */
const cancelPatience = Duration.seconds(2)

/** One turn: both texts on stdout as they come, what takes how long on stderr, the speech to the ear or to a file. */
const takeTurn = Effect.fnUntraced(function* ({ path, url, apiKey, sessionId, output, json }: Turn) {
  const speech: Array<Uint8Array> = []
  const player = Option.isSome(output) || json ? undefined : yield* startPlayer
  const startedAt = performance.now()
  const note = (what: string) => (json ? undefined : process.stderr.write(`  ${what}\n`))
  const show = (text: string) => (json ? undefined : process.stdout.write(harmless(text)))
  note(`sending ${path} (${Math.ceil(Bun.file(path).size / 1024)} KB)`)
  const client = makeClient({ baseUrl: url, apiKey })
  let turnId: string | undefined
  const cancel = Effect.suspend(() =>
    turnId === undefined ? Effect.void : Effect.ignore(call(() => client.cancel(turnId ?? ""), url)),
  ).pipe(Effect.timeoutOption(cancelPatience))
  const turn = yield* call(
    (signal) =>
      client.converse(Bun.file(path), {
        sessionId,
        signal,
        onStarted: (started) => {
          turnId = started.turnId
          if (!started.isRestart) return
          speech.length = 0
          show("\n(The service began anew.)\n")
        },
        onTranscript: (text) => {
          note(`heard after ${seconds(performance.now() - startedAt)}`)
          show(`You:   ${text}\nReply: `)
        },
        onText: (text) => {
          show(text)
        },
        onAudio: (bytes) => {
          speech.push(bytes)
          player?.play(bytes)
        },
      }),
    url,
  ).pipe(Effect.onInterrupt(() => cancel))
  show("\n")
  const { stt, llmTtft, ttsTtfb, firstAudio, total } = turn.timings
  note(`speech recognition took ${seconds(stt)}`)
  note(`the model its first word ${seconds(llmTtft)}`)
  note(`the voice its first sound ${seconds(ttsTtfb)}, ${seconds(firstAudio)} after the upload`)
  note(`all of it ${seconds(total)}`)
  if (Option.isSome(output)) {
    yield* Effect.tryPromise({
      try: () => Bun.write(output.value, Buffer.concat(speech)),
      catch: () => new CommandFailed({ message: `${output.value} can't be written.` }),
    })
  } else if (player === undefined && !json) {
    yield* Console.error(
      "  There is nothing to play it with: install ffmpeg or mpg123, or save it with --output.",
    )
  }
  if (json) {
    const saved = Option.isSome(output) ? { output: output.value } : {}
    yield* Console.log(JSON.stringify({ file: path, ...turn, ...saved }))
  }
  return { sessionId: turn.sessionId, heard: player?.ended ?? Effect.void }
})

/** With several turns, each has a file of its own: answer.mp3, answer-2.mp3, … */
const numbered = (path: string, index: number) =>
  index === 0 ? path : path.replace(/(\.\w+)?$/, (ending) => `-${index + 1}${ending}`)

export const talk = Command.make("talk", options, (asked) =>
  Effect.gen(function* () {
    const { url, apiKey, account } = yield* identify(asked)
    let sessionId = asked.isNew ? undefined : account.sessionId
    const one = Effect.fnUntraced(function* (path: string, index: number) {
      const output = Option.map(asked.output, (each) => numbered(each, index))
      const turn = yield* takeTurn({ path, url, apiKey, sessionId, output, json: asked.json })
      sessionId = turn.sessionId
      // Before it is heard to its end: whoever ends that goes on with the session all the same.
      yield* remember(url, { ...(yield* recall(url)), sessionId })
      yield* turn.heard
    }, Effect.scoped)
    const paths = asked.files.length > 0 ? asked.files : [yield* record]
    yield* Effect.forEach(paths, one, { discard: true })
  }).pipe(Effect.scoped),
).pipe(
  Command.withDescription(
    "Talk to a service: send a recording, or what the microphone hears, and hear the answer. The session goes on with the next call.",
  ),
)
