import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import { Effect } from "effect"
import { json, print } from "./print.ts"

const file = Args.file({ name: "FILE", exists: "yes" }).pipe(Args.withDescription("A recording"))

/** The configured speech recognition alone, on what a turn would send it. */
const hear = Effect.fnUntraced(function* (path: string) {
  const [
    { Settings },
    { Providers },
    { Ffmpeg },
    { identify },
    { transcode },
    { rejectSilence },
    { transcribe },
  ] = yield* Effect.promise(() =>
    Promise.all([
      import("../config.ts"),
      import("../providers/openai/client.ts"),
      import("../ffmpeg/ffmpeg.ts"),
      import("../audio/container.ts"),
      import("../turn/transcode.ts"),
      import("../audio/silence.ts"),
      import("../turn/transcribe.ts"),
    ]),
  )
  const settings = yield* Settings
  const { stt } = yield* Providers
  const recording = yield* identify({ path, bytes: Bun.file(path).size })
  const speech = yield* transcode(yield* Ffmpeg, recording, settings.maxAudioSeconds, (effect) => effect)
  yield* rejectSilence(speech, settings.silenceDbfs)
  const text = yield* transcribe(stt, speech, settings.sttLanguage)
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
