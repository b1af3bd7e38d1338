import * as FileSystem from "@effect/platform/FileSystem"
import { Array as Arr, Effect, Layer } from "effect"
import { sections } from "./variables.ts"

/** The files that Bun reads by itself; which of them depends on NODE_ENV. */
const defaultFiles = [
  ".env",
  ...["development", "production", "test"].flatMap((mode) => [`.env.${mode}`, `.env.${mode}.local`]),
  ".env.local",
]

interface Environment {
  readonly variables: Readonly<Record<string, string | undefined>>
  /** The arguments of the runtime, which may name other files. */
  readonly execArgv: ReadonlyArray<string>
}

const filesOf = (execArgv: ReadonlyArray<string>) => {
  const given = execArgv.flatMap((argument, index) => {
    if (argument.startsWith("--env-file=")) return argument.slice("--env-file=".length).split(",")
    return argument === "--env-file" ? (execArgv[index + 1] ?? "").split(",") : []
  })
  if (given.length > 0) return given
  return execArgv.includes("--no-env-file") ? [] : defaultFiles
}

/**
 * `NAME=value`, `NAME: value` or `export NAME=value`. A value in quotes may have several lines. One without ends at `#`,
 * even without a space before it: the third group.
 */
const assignment =
  /^[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.-]*)[ \t]*(?:=|:[ \t])[ \t]*("(?:\\[\s\S]|[^"\\])*"|'[^']*'|`[^`]*`|[^\r\n#]*)(#[^\r\n]*)?/gm

/** `$NAME`, `$1` or `${…}`. Bun leaves another `$`, and one after a backslash, as it is. */
const reference = /(?<!\\)\$(?:(\w+)|\{([^}\n]*)\})/g

const escapeRegExp = (text: string) => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&")

/** A piece of the file as the value may have it: a backslash escapes the next character, in some quotes only. */
const pieceOf = (text: string) =>
  text
    .split(/(\\[\s\S])/)
    .map((part) => (/^\\[\s\S]$/.test(part) ? "[^]{1,2}" : escapeRegExp(part)))
    .join("")

/** The content of the quotes around `raw`; undefined without quotes. */
const unquoted = (raw: string): string | undefined => {
  const quote = raw[0] ?? ""
  return raw.length > 1 && "\"'`".includes(quote) && raw.endsWith(quote) ? raw.slice(1, -1) : undefined
}

/** Whether Bun made `value` of `text`. A variable that was set outside of the file has another value. */
const comesFrom = (text: string, value: string, variables: Environment["variables"]) => {
  let at = 0
  let pattern = ""
  for (const match of text.matchAll(reference)) {
    const name = match[1] ?? match[2] ?? ""
    const replaced = name.includes(":-") ? "[^]*" : `(?:${escapeRegExp(variables[name] ?? "")})?`
    pattern += pieceOf(text.slice(at, match.index)) + replaced
    at = match.index + match[0].length
  }
  return new RegExp(`^${pattern}${pieceOf(text.slice(at))}$`).test(value)
}

/**
 * Whether Bun replaced a part of a value that was perhaps meant as it is. `${NAME}` of a variable that is set, and
 * `${NAME:-default}`, can only be meant as references.
 */
const isExpanded = (raw: string, value: string, variables: Environment["variables"]) => {
  const text = unquoted(raw) ?? raw.trim()
  const isDoubtful = ([, bare, braced = ""]: RegExpMatchArray) =>
    bare !== undefined || (!braced.includes(":-") && variables[braced] === undefined)
  return [...text.matchAll(reference)].some(isDoubtful) && comesFrom(text, value, variables)
}

const isJson = (text: string) => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** Whether Bun cut a value without quotes at a `#` that belongs to it. After a space it begins a comment, but not in JSON. */
const isCut = (
  [all, , raw = "", rest = ""]: RegExpMatchArray,
  value: string,
  variables: Environment["variables"],
) => {
  const text = raw.trim()
  if (rest === "" || unquoted(text) !== undefined) return false
  const isComment = text === "" && /^#(\s|#|$)/.test(rest)
  const isSpaced = /\s$/.test(all.slice(0, -rest.length))
  const belongs = /^[[{]/.test(text) ? !isJson(text) : !isComment && !isSpaced
  return belongs && comesFrom(text, value, variables)
}

const settings = sections.flatMap((section) => Object.values(section.variables).map(({ docs }) => docs.name))

/** The value begins and ends with the same quote. */
const isInQuotes = (value: string): boolean => /^(["'`])[\s\S]*\1$/.test(value) && value.length > 1

/** The names of variables whose values were hardly meant so. */
interface Suspects {
  /** Bun replaced a `$` of the file. */
  readonly expanded: ReadonlyArray<string>
  /** Bun cut the value at a `#`. */
  readonly cut: ReadonlyArray<string>
  /** The value has quotes around it: docker's --env-file and others keep them. */
  readonly quoted: ReadonlyArray<string>
}

/** Looks for values that the .env files changed on their way. A file that cannot be read was not read by Bun either. */
const findSuspects = Effect.fnUntraced(function* ({ variables, execArgv }: Environment) {
  const fs = yield* FileSystem.FileSystem
  const texts = yield* Effect.forEach(filesOf(execArgv), (file) =>
    Effect.orElseSucceed(fs.readFileString(file), () => ""),
  )
  const assigned = texts.flatMap((text) => [...text.replaceAll("\r\n", "\n").matchAll(assignment)])
  const expanded = assigned
    .filter(([, name = "", raw = ""]) => isExpanded(raw, variables[name] ?? "", variables))
    .map(([, name = ""]) => name)
  const cut = assigned
    .filter((match) => isCut(match, variables[match[1] ?? ""] ?? "", variables))
    .map(([, name = ""]) => name)
  const quoted = settings.filter((name) => isInQuotes(variables[name]?.trim() ?? ""))
  return { expanded: Arr.dedupe(expanded), cut: Arr.dedupe(cut), quoted } satisfies Suspects
})

/** A kind of suspects, with what to do about it. The values stay out of it: they may be secrets. */
interface SuspectKind {
  readonly variables: ReadonlyArray<string>
  readonly problem: string
  readonly advice: string
  readonly warn: Effect.Effect<void>
}

const kindsOf = ({ expanded, cut, quoted }: Suspects): ReadonlyArray<SuspectKind> =>
  [
    {
      variables: expanded,
      problem: `Bun replaced a $ in .env in the value of ${expanded.join(", ")}`,
      advice: "Write \\$ for a dollar sign in .env, also within quotes.",
      warn: Effect.logWarning("settings.dollar_replaced"),
    },
    {
      variables: cut,
      problem: `Bun cut the value of ${cut.join(", ")} in .env at a #`,
      advice: "Put a value with # in quotes.",
      warn: Effect.logWarning("settings.value_cut"),
    },
    {
      variables: quoted,
      problem: `the quotes around the value of ${quoted.join(", ")} are part of it`,
      advice: "Remove the quotes.",
      warn: Effect.logWarning("settings.quotes_kept"),
    },
  ].filter(({ variables }) => variables.length > 0)

/** What is suspect in the environment of this process. */
export const suspects = Effect.suspend(() =>
  Effect.map(findSuspects({ variables: process.env, execArgv: process.execArgv }), kindsOf),
)

/** Warns at the start. */
export const layer = Layer.effectDiscard(
  Effect.flatMap(suspects, (kinds) =>
    Effect.forEach(kinds, ({ advice: hint, variables, warn }) =>
      Effect.annotateLogs(warn, { variables, hint }),
    ),
  ),
)
