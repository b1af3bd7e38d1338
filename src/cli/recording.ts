import { stat } from "node:fs/promises"
import * as Args from "@effect/cli/Args"
import * as HelpDoc from "@effect/cli/HelpDoc"
import { Effect } from "effect"

/** The argument FILE: a recording that exists. */
export const recording = Args.path({ name: "FILE" }).pipe(
  Args.mapEffect((path) =>
    Effect.tryPromise(() => stat(path)).pipe(
      Effect.mapError(() => HelpDoc.p(`There is no file ${path}.`)),
      Effect.filterOrFail(
        (found) => !found.isDirectory(),
        () => HelpDoc.p(`${path} is a folder. Name a recording.`),
      ),
      Effect.as(path),
    ),
  ),
)
