import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import { Console, Duration, Effect, Option } from "effect"
import { makeClient } from "../client/client.ts"
import { accountOptions, call, identify } from "./account.ts"
import { CommandFailed } from "./exit-code.ts"
import { talkLive } from "./live.ts"
import { record } from "./microphone.ts"
import { startPlayer } from "./player.ts"
import { json, withoutControls, writeOutput } from "./print.ts"
import { recording } from "./recording.ts"
import { rememberSession, sessionOf } from "./state.ts"

const files = recording.pipe(
  Args.repeated,
  Args.withDescription("Recordings, one turn each. Default: the microphone, until Enter is pressed"),
)

const options = {
  files,
  ...accountOptions,
  live: Options.boolean("live").pipe(
    Options.withDescription("Talk hands-free: no Enter between turns, and replies can be interrupted"),
  ),
  isNew: Options.boolean("new").pipe(Options.withDescription("Start a new session")),
  output: Options.file("output").pipe(
    Options.withPseudoName("FILE"),
    Options.withAlias("o"),
    Options.optional,
    Options.withDescription("Save the spoken reply as an MP3 instead of playing it"),
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

/** For the cancellation of an interrupted turn. Without it the turn continues, because it has an Idempotency-Key. */
const cancelTimeout = Duration.seconds(2)

/** One turn: transcript and reply on stdout as they arrive, durations on stderr, speech to the player or to a file. */
const takeTurn = Effect.fnUntraced(function* ({ path, url, apiKey, sessionId, output, json }: Turn) {
  const speech: Array<Uint8Array> = []
  const player = Option.isSome(output) || json ? undefined : yield* startPlayer
  const startedAt = performance.now()
  const note = (what: string) => (json ? undefined : process.stderr.write(`  ${what}\n`))
  const show = (text: string) => (json ? undefined : process.stdout.write(withoutControls(text)))
  note(`sending ${path} (${Math.ceil(Bun.file(path).size / 1024)} KB)`)
  const client = makeClient({ baseUrl: url, apiKey })
  let turnId: string | undefined
  const cancel = Effect.suspend(() =>
    turnId === undefined ? Effect.void : Effect.ignore(call(() => client.cancel(turnId ?? ""), url)),
  ).pipe(Effect.timeoutOption(cancelTimeout))
  const turn = yield* call(
    (signal) =>
      client.converse(Bun.file(path), {
        sessionId,
        signal,
        onStarted: (started) => {
          turnId = started.turnId
          if (!started.isRestart) return
          speech.length = 0
          show("\n(The service restarted the turn.)\n")
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
  note(`first word of the model after ${seconds(llmTtft)}`)
  note(
    speech.length > 0
      ? `first sound of the voice after ${seconds(ttsTtfb)}, ${seconds(firstAudio)} after the upload`
      : "the reply has nothing to speak",
  )
  note(`total ${seconds(total)}`)
  if (Option.isSome(output) && speech.length > 0) {
    yield* writeOutput(output.value, Buffer.concat(speech))
    note(`saved ${output.value}`)
  } else if (Option.isNone(output) && player === undefined && !json) {
    yield* Console.error(
      "  No player is installed. Install ffmpeg or mpg123, or save the reply with --output.",
    )
  }
  if (json) {
    const saved = Option.isSome(output) && speech.length > 0 ? { output: output.value } : {}
    yield* Console.log(JSON.stringify({ file: path, ...turn, ...saved }))
  }
  return { sessionId: turn.sessionId, heard: player?.ended ?? Effect.void }
})

/** One file per turn: answer.mp3, answer-2.mp3, … */
const numbered = (path: string, index: number) =>
  index === 0 ? path : path.replace(/(\.\w+)?$/, (ending) => `-${index + 1}${ending}`)

export const talk = Command.make("talk", options, (input) =>
  Effect.gen(function* () {
    const { url, apiKey, account } = yield* identify(input)
    let sessionId = input.isNew ? undefined : sessionOf(account, apiKey)
    if (input.live) {
      if (Option.isSome(input.output)) {
        return yield* new CommandFailed({
          message: "--output does not work with --live. Leave out one of them.",
        })
      }
      const keep = (id: string) => rememberSession(url, apiKey, id)
      return yield* talkLive({ url, apiKey, sessionId, paths: input.files, json: input.json, remember: keep })
    }
    const one = Effect.fnUntraced(function* (path: string, index: number) {
      const output = Option.map(input.output, (each) => numbered(each, index))
      const turn = yield* takeTurn({ path, url, apiKey, sessionId, output, json: input.json })
      sessionId = turn.sessionId
      // Stored before playback ends, so that stopping the playback keeps the session.
      yield* rememberSession(url, apiKey, turn.sessionId)
      yield* turn.heard
    }, Effect.scoped)
    const paths = input.files.length > 0 ? input.files : [yield* record]
    yield* Effect.forEach(paths, one, { discard: true })
  }).pipe(Effect.scoped),
).pipe(
  Command.withDescription(
    "Send a recording or the microphone to a service, and play the reply. The next call continues the session.",
  ),
)
