import * as Options from "@effect/cli/Options"
import { Console, Effect } from "effect"

export const json = Options.boolean("json").pipe(
  Options.withDescription("Print JSON, an object a line, for machines"),
)

/** One answer: lines for a person, or an object for a machine. */
export const print = (asJson: boolean, lines: ReadonlyArray<string>, object: object) =>
  Console.log(asJson ? JSON.stringify(object) : lines.join("\n"))

/**
 * Colours and bold are for a terminal; in a file or a pipe they would be noise. What the library prints ends in an empty
 * line of its own.
 */
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
