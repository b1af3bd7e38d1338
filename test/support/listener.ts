import { Context, Effect, Layer, Option } from "effect"
import { sampleRate } from "../../src/audio/pcm.ts"
import { type FakeTranscript, Transcriber } from "../../src/providers/transcriber.ts"
import type { HeardEvent } from "../../src/realtime/listener.ts"
import { type ListenerOptions, makeListener } from "../../src/realtime/listening.ts"
import type { ServerVad } from "../../src/realtime/turn-detection.ts"
import { VoiceActivity } from "../../src/vad/voice-activity.ts"

export const serverVad: ServerVad = {
  type: "server_vad",
  threshold: 0.5,
  prefix_padding_ms: 300,
  silence_duration_ms: 500,
}

/** The fake detector's probability is the highest sample. A tone of 1 kHz, so that it is not silent. */
export const sound = (ms: number, probability: number): Int16Array =>
  Int16Array.from(
    { length: (ms * sampleRate) / 1000 },
    (_, at) => (at % 16 < 8 ? 1 : -1) * probability * 32_767,
  )

/** Frames of 32 ms. */
export const voice = (frames: number) => sound(frames * 32, 0.9)
export const silence = (frames: number) => sound(frames * 32, 0)

/** A listener on fakes, and what it heard so far. */
export const makeFakeListener = Effect.fnUntraced(function* (
  options: Partial<ListenerOptions> & { readonly hears?: ReadonlyArray<FakeTranscript> } = {},
) {
  const fake = Transcriber.makeFake(options.hears)
  const context = yield* Layer.build(Layer.merge(fake.layer, VoiceActivity.layerFake))
  const events: Array<HeardEvent> = []
  const listener = yield* makeListener({
    on: (event) => events.push(event),
    voiceActivity: Context.get(context, VoiceActivity),
    transcriber: Context.get(context, Transcriber),
    hearing: { model: "ears", language: Option.some("en"), silenceDbfs: -60, maxSeconds: 60, keyTerms: [] },
    interruption: { minMs: 200, maxBackchannelMs: 500, minWords: 0 },
    turnDetection: serverVad,
    count: Effect.void,
    ...options,
  })
  const hear = (...parts: ReadonlyArray<Int16Array>) => {
    for (const part of parts) listener.append(part)
  }
  /** The transcripts of what was committed so far. */
  const transcripts = Effect.suspend(() =>
    Effect.forEach(events, (event) =>
      event._tag === "Committed" ? Effect.map(event.transcript, ({ text }) => [text]) : Effect.succeed([]),
    ),
  ).pipe(Effect.map((all) => all.flat()))
  return {
    listener,
    events,
    hear,
    transcripts,
    calls: fake.calls,
    tags: () => events.map(({ _tag }) => _tag),
  }
})
