import { Effect, Option } from "effect"
import { ProviderRefusedRequest, wrongAnswer } from "../errors.ts"
import type { Transcribe } from "../transcriber.ts"
import type { TakeSlot } from "./children.ts"
import { makeEngine } from "./engine/supervisor.ts"
import { makePocketsphinx } from "./pocketsphinx.ts"
import { knowsLanguage, type Recognizer } from "./recognizer.ts"

const unsupported = (language: string) =>
  new ProviderRefusedRequest({
    stage: "stt",
    message: `The offline speech recognition does not know the language "${language}", only English. Set STT_LANGUAGE=en, or OPENAI_API_KEY for other languages.`,
  })

/** Speech recognition on this machine: the recognizer in its engine while that runs, otherwise pocketsphinx. */
export const makeHearing = Effect.fn("Hearing.make")(function* (options: {
  readonly searchPath: string
  readonly takeSlot: TakeSlot
  readonly recognizer: Option.Option<Recognizer>
}) {
  const { recognizer } = options
  const engine = yield* Effect.transposeMapOption(recognizer, (found) => makeEngine(found.engine))
  const pocketsphinx = yield* makePocketsphinx(options)
  const languages = Option.match(recognizer, { onNone: () => ["en"], onSome: ({ languages }) => languages })
  const usable = () => Option.filter(engine, ({ isUsable }) => isUsable())

  const withPocketsphinx = (bytes: Uint8Array) =>
    Effect.mapError(pocketsphinx.transcribe(bytes), (error) =>
      wrongAnswer("stt", error._tag === "ProgramFailed" ? `pocketsphinx: ${error.reason}` : error._tag),
    )
  const hear = (bytes: Uint8Array, onProgress: () => void) =>
    Option.match(usable(), {
      onNone: () => withPocketsphinx(bytes),
      onSome: ({ run, isUsable }) =>
        run(bytes, onProgress).pipe(
          Effect.map((text) => new TextDecoder().decode(text)),
          Effect.catchAll(({ reason }) =>
            isUsable() ? wrongAnswer("stt", `engine: ${reason}`) : withPocketsphinx(bytes),
          ),
        ),
    })

  const transcribe: Transcribe = Effect.fn("Hearing.transcribe")(function* (
    { bytes },
    { language },
    onProgress,
  ) {
    const other = Option.filter(language, (code) => !knowsLanguage(languages, code))
    if (Option.isSome(other)) return yield* unsupported(other.value)
    return { text: yield* hear(bytes, onProgress) }
  })

  /** The name of the recognizer that hears the next request. */
  const engineName = () =>
    Option.isSome(usable())
      ? Option.match(recognizer, { onNone: () => "none", onSome: ({ name }) => name })
      : pocketsphinx.isInstalled
        ? "pocketsphinx"
        : "none"

  return { engine: engineName, transcribe }
})
