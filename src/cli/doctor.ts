import * as Command from "@effect/cli/Command"
import { ConfigError, Console, Effect, Layer } from "effect"
import { explainConfigError, Settings } from "../config.ts"
import * as Telemetry from "../telemetry.ts"
import { checkClock } from "./doctor/clock.ts"
import { type Finding, problem } from "./doctor/finding.ts"
import { ExitWith } from "./exit-code.ts"
import { json } from "./print.ts"

/** The checks themselves are loaded with what they check, the database's driver before all, and only here. */
const checks = Effect.gen(function* () {
  const [
    { checkFfmpeg },
    { checkDatabase },
    { checkProviders },
    { checkEngines },
    { checkPlaces },
    { checkPort },
  ] = yield* Effect.promise(() =>
    Promise.all([
      import("./doctor/ffmpeg.ts"),
      import("./doctor/database.ts"),
      import("./doctor/providers.ts"),
      import("./doctor/engines.ts"),
      import("./doctor/folders.ts"),
      import("./doctor/port.ts"),
    ]),
  )
  const settings = yield* Settings
  const [database, providers, places, port] = yield* Effect.all(
    [checkDatabase(settings), checkProviders(settings), checkPlaces(settings), checkPort(settings)],
    { concurrency: "unbounded" },
  )
  // After the others: beside them its start would take longer than in a turn.
  const ffmpeg = yield* checkFfmpeg(settings)
  const findings = [ffmpeg, database, ...providers, ...checkEngines(settings), ...places, port]
  return [...findings, checkClock(findings)]
})

/** Settings that are wrong leave nothing else to look at. */
const examine = checks.pipe(
  // What is said beside the findings would be no JSON.
  Effect.provide(Layer.merge(Settings.layer, Telemetry.onlyWarnings)),
  Effect.catchIf(ConfigError.isConfigError, (error) =>
    Effect.succeed([
      problem("settings", explainConfigError(error), "Correct the environment, or .env; then look again."),
    ]),
  ),
)

const width = 12

const lineOf = ({ check, state, found, advice }: Finding) => [
  `${state.padEnd(8)} ${check.padEnd(width)} ${found}`,
  ...(advice === undefined ? [] : [`${" ".repeat(8 + width + 2)}${advice}`]),
]

export const doctor = Command.make("doctor", { json }, ({ json }) =>
  Effect.gen(function* () {
    const findings = yield* examine
    const isWell = findings.every(({ state }) => state !== "problem")
    const checks = findings.map(({ aheadMs: _, ...finding }) => finding)
    yield* Console.log(json ? JSON.stringify({ ok: isWell, checks }) : checks.flatMap(lineOf).join("\n"))
    if (!isWell) return yield* new ExitWith({ code: 1 })
  }),
).pipe(
  Command.withDescription(
    "Say what is wrong on this machine or in the settings, and what to do about it. Nothing that costs is asked of a provider. Exit code 1 where the service would not start, or no turn would succeed.",
  ),
)
