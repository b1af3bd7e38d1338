import { Console, Effect } from "effect"
import { makeClient, type RealtimeListener, type VoiceAgentError } from "../client/client.ts"
import { CommandFailed } from "./exit-code.ts"
import { capture, keepSilent, startVoice } from "./live-audio.ts"
import { captureCommand, enterPressed, playCommand } from "./microphone.ts"
import { withoutControls } from "./print.ts"

export interface LiveOptions {
  readonly url: string
  readonly apiKey: string
  readonly sessionId: string | undefined
  /** Recordings in place of the microphone. */
  readonly paths: ReadonlyArray<string>
  readonly json: boolean
  /** Keeps the session's id for the next call. */
  readonly remember: (sessionId: string) => Effect.Effect<void, CommandFailed>
}

/** After a recording, until the service has noticed that it is over; and until it must have heard words in it. In ms. */
const settleMs = 1500
const hearMs = 5000

/** Tries after a lost connection: for half a minute. */
const reconnects = 8

const hint =
  "Listening. Talk at any time, also to interrupt. Wear headphones: a terminal cannot cancel the echo of the reply. Press Enter to end."

/** One JSON object for each reply. */
interface Exchange {
  transcript: string
  response: string
}

/** What was said, on stdout, and how the conversation goes, on stderr. */
const makeTranscript = (json: boolean, sessionId: () => string | undefined) => {
  let exchange: Exchange = { transcript: "", response: "" }
  const show = (text: string) => (json ? undefined : process.stdout.write(withoutControls(text)))
  return {
    note: (text: string) => (json ? undefined : process.stderr.write(`  ${text}\n`)),
    says: (text: string) => {
      const earlier = exchange.response === "" ? exchange.transcript : ""
      exchange = { transcript: `${earlier} ${text}`.trim(), response: "" }
      show(`You:   ${text}\n`)
    },
    adds: (text: string) => {
      show(exchange.response === "" ? `Reply: ${text}` : text)
      exchange.response += text
    },
    ends: (isComplete: boolean) => {
      if (exchange.response === "") return
      show(isComplete ? "\n" : " …\n")
      if (json)
        process.stdout.write(`${JSON.stringify({ sessionId: sessionId(), ...exchange, isComplete })}\n`)
      exchange = { transcript: "", response: "" }
    },
    fails: ({ code, message }: VoiceAgentError) => {
      if (json) {
        const error = { code, message }
        process.stdout.write(
          `${JSON.stringify({ sessionId: sessionId(), ...exchange, isComplete: false, error })}\n`,
        )
      }
      exchange = { transcript: "", response: "" }
    },
  }
}

const describe = ({ code, message }: VoiceAgentError) => {
  const isGone = code === "SESSION_NOT_FOUND" || code === "SESSION_EXPIRED"
  return `${code}: ${message}${isGone ? " Use --new." : ""}`
}

/** Talks hands-free until Enter is pressed, or until the recordings are answered. */
export const talkLive = Effect.fnUntraced(function* (options: LiveOptions) {
  const { url, apiKey, sessionId, paths, json } = options
  const voice = json ? undefined : yield* startVoice
  if (voice === undefined && !json) {
    yield* Console.error("  No player is installed, so replies are silent. Install ffmpeg or sox.")
  }
  const transcript = makeTranscript(json, () => realtime.sessionId())
  const closed = Promise.withResolvers<VoiceAgentError | undefined>()
  let utterances = 0
  let hasSession = false
  // A session without words is not stored.
  let hasWords = false
  let hasFailed = false

  const listener: RealtimeListener = {
    onState: (state) => {
      if (state === "connecting" && hasSession) transcript.note("connection lost, connecting again")
    },
    onSession: () => {
      if (hasSession) transcript.note("connected again")
      hasSession = true
    },
    onUtterance: () => {
      utterances += 1
    },
    onTranscript: ({ text }) => {
      if (text === "") return
      hasWords = true
      transcript.says(text)
    },
    onText: ({ text }) => transcript.adds(text),
    onAudio: ({ samples }) => voice?.play(samples),
    onInterrupted: ({ playedMs }) => {
      voice?.stop()
      transcript.note(`interrupted after ${(playedMs / 1000).toFixed(1)} s`)
    },
    onReplyEnd: ({ isComplete }) => {
      voice?.end()
      transcript.ends(isComplete)
    },
    onError: (error) => {
      hasFailed = true
      transcript.note(describe(error))
      transcript.fails(error)
    },
    onClosed: closed.resolve,
  }
  const realtime = yield* Effect.acquireRelease(
    Effect.sync(() =>
      makeClient({ baseUrl: url, apiKey }).realtime({
        ...listener,
        sessionId,
        reconnects,
        // Nobody listens.
        ...(json ? { playedMs: () => Number.POSITIVE_INFINITY } : {}),
      }),
    ),
    (opened) => Effect.sync(opened.close),
  )
  yield* Effect.addFinalizer(() => {
    const id = realtime.sessionId()
    return hasWords && id !== undefined ? Effect.ignore(options.remember(id)) : Effect.void
  })

  const recording = Effect.fnUntraced(function* (path: string) {
    const before = utterances
    const { code, reason } = yield* capture(playCommand(path), realtime.append)
    if (code !== 0) return yield* new CommandFailed({ message: `${path} cannot be played (${reason}).` })
    const isQuiet = (ms: number) => realtime.state() === "listening" && ms > settleMs
    yield* keepSilent(realtime.append, (ms) => isQuiet(ms) && (utterances > before || ms > hearMs))
    if (utterances === before) {
      return yield* new CommandFailed({ message: `No speech was heard in ${path}.` })
    }
  })

  const microphone = Effect.gen(function* () {
    const command = yield* captureCommand
    yield* Console.error(hint)
    const { reason } = yield* capture(command, realtime.append)
    return yield* new CommandFailed({
      message: `${command[0]} stopped recording${reason === "" ? "" : ` (${reason})`}. Check the microphone, or pass a FILE.`,
    })
  })

  const ended = Effect.flatMap(
    Effect.promise(() => closed.promise),
    (error) => (error === undefined ? Effect.void : new CommandFailed({ message: describe(error) })),
  )
  const recordings = Effect.gen(function* () {
    yield* Effect.forEach(paths, recording, { discard: true })
    if (hasFailed) return yield* new CommandFailed({ message: "Not every recording was answered." })
  })
  const spoken =
    paths.length > 0
      ? recordings
      : Effect.raceFirst(
          microphone,
          Effect.promise((signal) => enterPressed(signal)),
        )
  yield* Effect.raceFirst(spoken, ended)
}, Effect.scoped)
