import { Schema } from "effect"

/**
 * How a stage fares: `ok`; `degraded`: its server or engine failed, and a fallback or another engine serves; `failing`:
 * requests fail at once.
 */
export const StageStatus = Schema.Literal("ok", "degraded", "failing")
export type StageStatus = typeof StageStatus.Type

/** Of an offline stage. `serving`: the engine that serves now, or "none". `hasFailed`: the engine that should serve. */
export const offlineStatus = (serving: string, hasFailed: boolean): StageStatus => {
  if (serving === "none") return "failing"
  return hasFailed ? "degraded" : "ok"
}
