import * as Options from "@effect/cli/Options"
import { Console, Effect } from "effect"
import { CommandFailed } from "./exit-code.ts"

export const json = Options.boolean("json").pipe(Options.withDescription("Print JSON, one object per line"))

/** Prints a result as lines of text, or as one JSON object. */
export const print = (asJson: boolean, lines: ReadonlyArray<string>, object: object) =>
  Console.log(asJson ? JSON.stringify(object) : lines.join("\n"))

/** Writes the file that `--output` names. */
export const writeOutput = (path: string, bytes: Uint8Array) =>
  Effect.tryPromise({
    try: () => Bun.write(path, bytes),
    catch: () => new CommandFailed({ message: `${path} cannot be written.` }),
  })

/** Strips ANSI codes unless the output is a terminal, and the empty line at the end of what @effect/cli prints. */
export const withoutColoursInPipes = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.consoleWith((console) => {
    const tidy = (isTerminal: boolean | undefined, parts: ReadonlyArray<unknown>) =>
      parts.map((part) => {
        if (typeof part !== "string") return part
        return (isTerminal === true ? part : Bun.stripANSI(part)).replace(/\n+$/, "")
      })
    return Effect.withConsole(effect, {
      ...console,
      log: (...parts) => console.log(...tidy(process.stdout.isTTY, parts)),
      error: (...parts) => console.error(...tidy(process.stderr.isTTY, parts)),
    })
  })
