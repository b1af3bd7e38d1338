import * as BunContext from "@effect/platform-bun/BunContext"
import { Effect, Layer, Option } from "effect"
import { Settings } from "../config.ts"
import { Ffmpeg } from "../ffmpeg/ffmpeg.ts"
import { toProblem } from "../http/problems.ts"
import * as Providers from "../providers/layer.ts"
import * as Telemetry from "../telemetry.ts"
import type { TurnError } from "../turn/errors.ts"
import { CommandFailed } from "./exit-code.ts"

/** For one recording, which none has waited for. */
const settings = Layer.effect(
  Settings,
  Effect.map(Settings, (all) => ({ ...all, ffmpegWarm: 0 })),
).pipe(Layer.provide(Settings.layer))

/** A single stage needs neither the database nor the port. */
export const layer = Layer.mergeAll(Providers.layer, Ffmpeg.layer).pipe(
  Layer.provideMerge(Telemetry.onlyWarnings),
  Layer.provideMerge(settings),
  Layer.provideMerge(BunContext.layer),
)

/** What a caller of the service would be told, and to the operator the reason as well. */
export const explain = (error: TurnError) => {
  const { code, message } = toProblem(error)
  const reason = "reason" in error ? Option.some(error.reason) : Option.none()
  return new CommandFailed({
    message: `${code}: ${message}${Option.match(reason, { onNone: () => "", onSome: (text) => ` (${text})` })}`,
  })
}
