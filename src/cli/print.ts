import * as Options from "@effect/cli/Options"
import { Console, Effect } from "effect"
import { CommandFailed } from "./exit-code.ts"

export const json = Options.boolean("json").pipe(Options.withDescription("Print JSON, one object per line"))

/** Prints a result as lines of text, or as one JSON object. */
export const print = (asJson: boolean, lines: ReadonlyArray<string>, object: object) =>
  Console.log(asJson ? JSON.stringify(object) : lines.join("\n"))

/** Removes control characters, which a terminal would execute. */
export const withoutControls = (text: string) => text.replaceAll(/[^\P{Cc}\n\t]/gu, "")

/** Drops the rest of the output when its reader stops early, as `head` does. That is no failure of the command. */
export const ignoreClosedPipes = Effect.sync(() => {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error) => {
      if (!("code" in error && error.code === "EPIPE")) throw error
    })
  }
})

/** Writes the file that `--output` names. */
export const writeOutput = (path: string, bytes: Uint8Array) =>
  Effect.tryPromise({
    try: () => Bun.write(path, bytes),
    catch: () => new CommandFailed({ message: `${path} cannot be written.` }),
  })
