import { resolve } from "node:path"
import * as BunContext from "@effect/platform-bun/BunContext"
import { Effect, Layer, Option, Stream } from "effect"
import { configuredAgent } from "../agent/configured.ts"
import type { SpokenFormat } from "../audio/speech-joiner.ts"
import { makeSpeechOutput } from "../audio/speech-output.ts"
import { Settings } from "../config.ts"
import { Ffmpeg } from "../ffmpeg/ffmpeg.ts"
import { toProblem } from "../http/problems.ts"
import { DecodingSlots } from "../limits/decoding-slots.ts"
import * as Providers from "../providers/layer.ts"
import { Lessons } from "../providers/lessons.ts"
import { Synthesizer } from "../providers/synthesizer.ts"
import { Transcriber } from "../providers/transcriber.ts"
import { newId, TurnId, UserId } from "../schema.ts"
import * as Telemetry from "../telemetry.ts"
import { toSegments } from "../text/segments.ts"
import type { TurnError } from "../turn/errors.ts"
import { hear } from "../turn/hear.ts"
import { makeFromFile } from "../turn/input.ts"
import { makeTurnLog } from "../turn/log.ts"
import { speak } from "../turn/speak.ts"
import { CommandFailed } from "./exit-code.ts"

/** Without warm decoders and Ollama: a command decodes one recording at most, and asks no language model. */
const settings = Layer.effect(
  Settings,
  Effect.map(Settings, (all) => ({ ...all, ffmpegWarm: 0, ollama: false })),
).pipe(Layer.provide(Settings.layer))

/** A command has no database, so it learns for itself alone. */
const providers = Providers.layer.pipe(Layer.provide(Lessons.layerMemory), Layer.provideMerge(Ffmpeg.layer))

/** What a single stage of a turn needs: neither the database nor the port. */
export const layer = Layer.mergeAll(providers, DecodingSlots.layer).pipe(
  Layer.provideMerge(Telemetry.onlyErrors),
  Layer.provideMerge(settings),
  Layer.provideMerge(BunContext.layer),
)

/** The transcript of a recording, as a turn hears it. */
export const transcribeFile = Effect.fnUntraced(function* (path: string) {
  const transcriber = yield* Transcriber
  const fromFile = yield* makeFromFile
  const agent = configuredAgent(yield* Settings, [])
  const log = yield* makeTurnLog({
    output: { format: "none", streamsText: false, streaming: false },
    keepsAudio: false,
    uploadMs: 0,
  })
  // The hash identifies a request with an Idempotency-Key; a command has none.
  const input = fromFile({ path: resolve(path), bytes: Bun.file(path).size, sha256: "" })
  const speaker = { turnId: newId(TurnId), userId: newId(UserId), agent, log }
  const { text } = yield* hear(transcriber, input, speaker)
  return { text, seconds: log.state().consumed.usage.audioSeconds }
}, Effect.scoped)

/** The speech of a text, segment by segment as a reply is spoken. Empty if nothing in the text can be spoken. */
export const speakText = Effect.fnUntraced(function* (text: string, format: SpokenFormat) {
  const synthesizer = yield* Synthesizer
  const configured = configuredAgent(yield* Settings, [])
  const chunks: Array<Uint8Array> = []
  yield* speak(
    toSegments(Stream.make(text), configured.speaking.maxCharacters),
    synthesizer,
    { turnId: newId(TurnId), output: makeSpeechOutput(format), streaming: false, ...configured.speaking },
    {
      onAudio: (bytes) => Effect.sync(() => chunks.push(bytes)),
      aheadMs: () => 0,
      onSegmentDone: () => Effect.void,
    },
  )
  return Buffer.concat(chunks)
})

/** The error that an API client would get, with the reason for the operator. */
export const explain = (error: TurnError) => {
  const { code, message } = toProblem(error)
  const reason = "reason" in error ? Option.some(error.reason) : Option.none()
  return new CommandFailed({
    message: `${code}: ${message}${Option.match(reason, { onNone: () => "", onSome: (text) => ` (${text})` })}`,
  })
}
