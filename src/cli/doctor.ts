import * as Command from "@effect/cli/Command"
import { ConfigError, Console, Effect, Layer } from "effect"
import { suspects } from "../config/dotenv.ts"
import { explainConfigError, Settings } from "../config.ts"
import * as Telemetry from "../telemetry.ts"
import { checkClock } from "./doctor/clock.ts"
import { type Finding, problem, warning } from "./doctor/finding.ts"
import { ExitWith } from "./exit-code.ts"
import { json } from "./print.ts"

/** The checks load the modules that they check, such as the database driver, so they are imported on use. */
const checks = Effect.gen(function* () {
  const [
    { checkFfmpeg },
    { checkDatabase },
    { checkProviders },
    { checkEngines },
    { checkVoiceActivity },
    { checkModelFiles },
    { checkFolders },
    { checkPort },
    { checkPrices },
    { checkMcpPrograms },
  ] = yield* Effect.promise(() =>
    Promise.all([
      import("./doctor/ffmpeg.ts"),
      import("./doctor/database.ts"),
      import("./doctor/providers.ts"),
      import("./doctor/engines.ts"),
      import("./doctor/voice-activity.ts"),
      import("./doctor/model-files.ts"),
      import("./doctor/folders.ts"),
      import("./doctor/port.ts"),
      import("./doctor/prices.ts"),
      import("./doctor/mcp-programs.ts"),
    ]),
  )
  const settings = yield* Settings
  const database = yield* Effect.cached(checkDatabase(settings))
  const lessons = Effect.map(database, ({ lessons }) => lessons)
  const [{ finding, stored }, providers, folders, port] = yield* Effect.all(
    [database, checkProviders(settings, lessons), checkFolders(settings), checkPort(settings)],
    { concurrency: "unbounded" },
  )
  // After the others: in parallel with them ffmpeg would start more slowly than in a turn.
  const ffmpeg = yield* checkFfmpeg(settings)
  const engines = yield* checkEngines(settings)
  const voice = yield* checkVoiceActivity(settings)
  const models = yield* checkModelFiles(settings)
  const parts = [ffmpeg, finding, ...stored, ...providers, ...engines, voice, ...models, ...folders, port]
  const findings = [...parts, ...checkPrices(settings), ...checkMcpPrograms(settings)]
  return [...findings, checkClock(findings)]
})

/** Invalid settings are the only finding: no check can run. */
const settingsAndChecks = checks.pipe(
  // Log lines on stdout would break the JSON.
  Effect.provide(Layer.merge(Settings.layer, Telemetry.onlyWarnings)),
  Effect.catchIf(ConfigError.isConfigError, (error) =>
    Effect.succeed([
      problem(
        "settings",
        explainConfigError(error),
        "Correct the environment or .env, and run doctor again.",
      ),
    ]),
  ),
)

const findings = Effect.gen(function* () {
  const suspect = (yield* suspects).map(({ advice, problem }) => warning("settings", problem, advice))
  return [...suspect, ...(yield* settingsAndChecks)]
})

const width = 12

const lineOf = ({ check, state, found, advice }: Finding) => [
  `${state.padEnd(8)} ${check.padEnd(width)} ${found}`,
  ...(advice === undefined ? [] : [`${" ".repeat(8 + width + 2)}${advice}`]),
]

export const doctor = Command.make("doctor", { json }, ({ json }) =>
  Effect.gen(function* () {
    const found = yield* findings
    const isWell = found.every(({ state }) => state !== "problem")
    const checks = found.map(({ aheadMs: _, ...finding }) => finding)
    yield* Console.log(json ? JSON.stringify({ ok: isWell, checks }) : checks.flatMap(lineOf).join("\n"))
    if (!isWell) return yield* new ExitWith({ code: 1 })
  }),
).pipe(
  Command.withDescription(
    "Find problems of this machine and of the settings, and say how to fix them. It sends providers no request that costs money. Exit code 1 if the service would not start, or no turn would succeed.",
  ),
)
