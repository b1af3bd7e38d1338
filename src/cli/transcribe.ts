import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import { Effect } from "effect"
import { json, print } from "./print.ts"

const file = Args.file({ name: "FILE", exists: "yes" }).pipe(Args.withDescription("A recording"))

/** The configured speech recognition alone, on what a turn would send it. */
const hear = Effect.fnUntraced(function* (path: string) {
  const [
    { Settings },
    { Transcriber },
    { newId, TurnId },
    { Ffmpeg },
    { validate },
    { transcode },
    { requireSound },
    { transcribe },
  ] = yield* Effect.promise(() =>
    Promise.all([
      import("../config.ts"),
      import("../providers/transcriber.ts"),
      import("../schema.ts"),
      import("../ffmpeg/ffmpeg.ts"),
      import("../audio/container.ts"),
      import("../turn/transcode.ts"),
      import("../audio/silence.ts"),
      import("../turn/transcribe.ts"),
    ]),
  )
  const settings = yield* Settings
  const upload = { folder: "", path, bytes: Bun.file(path).size, sha256: "" }
  const decoding = { userId: "", begins: Effect.void }
  const recording = yield* validate(upload)
  const speech = yield* transcode(yield* Ffmpeg, recording, settings.maxAudioSeconds, decoding)
  yield* requireSound(speech, settings.silenceDbfs)
  const text = yield* transcribe(yield* Transcriber, speech, {
    turnId: newId(TurnId),
    model: settings.stt.model,
    language: settings.sttLanguage,
  })
  return { text, seconds: speech.seconds }
})

export const transcribe = Command.make("transcribe", { file, json }, ({ file, json }) =>
  Effect.gen(function* () {
    const { explain, layer } = yield* Effect.promise(() => import("./stages.ts"))
    const { text, seconds } = yield* Effect.provide(Effect.mapError(hear(file), explain), layer)
    yield* print(json, [text], { file, text, seconds })
  }),
).pipe(
  Command.withDescription("Print what is said in a recording, by the configured speech recognition alone"),
)
