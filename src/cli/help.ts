import { Effect } from "effect"

/** What @effect/cli says about every argument and option of a type, besides our descriptions. */
const stockSentence =
  /^ +(?:A user-defined piece of text.*|A true or false value\.|A file(?: or directory)?\.|An existing file\.|This (?:option|setting|argument) .*)\n\n/gm

/** Of an argument that may be left out. @effect/cli writes it as one that is required: `<FILE>...`. */
const optional = "This argument may be repeated zero or more times."

/** The usage line has only the last word of a command. */
const usage = /^\$ (?:voice-agent ?)?(.*)$/m

/**
 * The help of @effect/cli in the form of other programs: the whole command in the usage line (`parents` are the words
 * before its last), arguments that may be left out in brackets, each description below its name, and no sentence that
 * repeats a type. Other text is unchanged.
 */
const plainHelp = (text: string, parents: ReadonlyArray<string>): string => {
  if (!text.includes("\nUSAGE\n\n$ ")) return text
  const known = text.includes(optional) ? text.replace(/<(\w+)>\.\.\./g, "[$1...]") : text
  return known
    .replace(/^voice-agent\n\n/, "")
    .replace(usage, (_, command: string) => `$ ${[...parents, command].join(" ").trimEnd()}`)
    .replace(/^(\$ voice-agent(?: users| agents| models)?)$(?=[\s\S]*^COMMANDS$)/m, "$1 [COMMAND]")
    .replace(stockSentence, "")
    .replace(/^ {2}- (.+?) {2,}(\S.*)$/gm, "  $1\n      $2")
    .replace(/^(\S.*)\n\n(?= {2}\S)/gm, "$1\n")
}

/** Prints the help of @effect/cli as `plainHelp`, and everything without escape codes and without empty lines at the end. */
export const withPlainHelp =
  (parents: ReadonlyArray<string>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.consoleWith((console) => {
      const plain = (parts: ReadonlyArray<unknown>) =>
        parts.map((part) =>
          typeof part === "string" ? plainHelp(Bun.stripANSI(part).replace(/\n+$/, ""), parents) : part,
        )
      return Effect.withConsole(effect, {
        ...console,
        log: (...parts) => console.log(...plain(parts)),
        error: (...parts) => console.error(...plain(parts)),
      })
    })
