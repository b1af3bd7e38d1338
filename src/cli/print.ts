import * as Options from "@effect/cli/Options"
import { Console, Effect } from "effect"

export const json = Options.boolean("json").pipe(
  Options.withDescription("Print JSON, an object a line, for machines"),
)

/** One answer: lines for a person, or an object for a machine. */
export const print = (asJson: boolean, lines: ReadonlyArray<string>, object: object) =>
  Console.log(asJson ? JSON.stringify(object) : lines.join("\n"))

/** Colours and bold are for a terminal; in a file or a pipe they would be noise. */
export const withoutColoursInPipes = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.consoleWith((console) => {
    const strip = (isTerminal: boolean | undefined, parts: ReadonlyArray<unknown>) =>
      parts.map((part) => (typeof part === "string" && isTerminal !== true ? Bun.stripANSI(part) : part))
    return Effect.withConsole(effect, {
      ...console,
      log: (...parts) => console.log(...strip(process.stdout.isTTY, parts)),
      error: (...parts) => console.error(...strip(process.stderr.isTTY, parts)),
    })
  })
