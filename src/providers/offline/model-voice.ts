import { Effect, Exit } from "effect"
import { makeEngine } from "./engine/supervisor.ts"
import type { ModelEngine } from "./model-engine.ts"
import { speakerOf } from "./pulled-voice.ts"

/** A model that speaks, in its process. */
export const makeModelVoice = Effect.fn("ModelVoice.make")(function* (found: ModelEngine) {
  const { run, isUsable } = yield* makeEngine(found.engine)

  /**
   * Speaks the texts, one after the other, while `made` runs: `wav` is one WAV of unknown length at the model's rate,
   * which ends with it. `made` gives the number of texts that were spoken: it ends early before one that the model cannot
   * speak, and fails with RunFailed if that is the first one, or if a part of it was spoken.
   */
  const speak = (
    texts: ReadonlyArray<string>,
    { language, voice }: { readonly language: string; readonly voice: string },
  ) => {
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined
    const wav = new ReadableStream<Uint8Array>({
      start: (its) => {
        controller = its
      },
      cancel: () => {
        controller = undefined
      },
    })
    const options = { language, speaker: speakerOf(found, voice) }
    const speakText = (text: string, isFirst: boolean) => {
      let parts = 0
      const spoken = run(new TextEncoder().encode(text), options, (part) => {
        parts += 1
        // The first part of each text is the header of a WAV.
        if (isFirst || parts > 1) controller?.enqueue(part)
      })
      return Effect.as(spoken, true).pipe(
        Effect.catchTag("RunFailed", (error) => (isFirst || parts > 1 ? error : Effect.succeed(false))),
      )
    }
    const made = Effect.gen(function* () {
      for (const [index, text] of texts.entries()) if (!(yield* speakText(text, index === 0))) return index
      return texts.length
    }).pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          if (Exit.isSuccess(exit)) controller?.close()
          // Its end would make complete speech of a part.
          else controller?.error(new Error("the engine ended"))
        }),
      ),
    )
    return { wav, made }
  }

  return { name: found.name, languages: found.languages, isUsable, speak }
})
