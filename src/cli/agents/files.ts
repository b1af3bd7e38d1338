import { mkdir, readdir, rm } from "node:fs/promises"
import { basename, join } from "node:path"
import { Effect, Either } from "effect"
import { parseDefinition, type StoredDefinition } from "../../agent/read-definition.ts"
import { CommandFailed } from "../exit-code.ts"

/** A file with an agent. */
export interface AgentFile {
  readonly path: string
  readonly definition: StoredDefinition
}

/** Names of agents are compared as the service compares them. */
export const keyOf = ({ name }: { readonly name: string }): string => name.toLowerCase()

export const textOf = (definition: StoredDefinition): string => `${JSON.stringify(definition, null, 2)}\n`

const failed = (message: string) => new CommandFailed({ message })

const readOne = (path: string) =>
  Effect.tryPromise({
    try: (): Promise<unknown> => Bun.file(path).json(),
    catch: () => failed(`${path} cannot be read as JSON.`),
  }).pipe(
    Effect.flatMap((content) =>
      Either.mapLeft(parseDefinition(content), ({ field, reason }) => failed(`${path}: ${field}: ${reason}`)),
    ),
    Effect.map((definition): AgentFile => ({ path, definition })),
  )

/** The JSON files of a folder, by their names. Fails if one is not an agent, or if two have the same name. */
export const readFiles = Effect.fnUntraced(function* (folder: string) {
  const names = yield* Effect.tryPromise({
    try: () => readdir(folder),
    catch: () => failed(`${folder} cannot be read. Name a folder with agents.`),
  })
  const files = yield* Effect.forEach(names.filter((name) => name.endsWith(".json")).toSorted(), (name) =>
    readOne(join(folder, name)),
  )
  for (const [at, file] of files.entries()) {
    const other = files.slice(0, at).find((earlier) => keyOf(earlier.definition) === keyOf(file.definition))
    if (other !== undefined) {
      return yield* failed(`${file.path} and ${other.path} have the same name: ${file.definition.name}.`)
    }
  }
  return files
})

export const removeFile = (path: string) =>
  Effect.tryPromise({ try: () => rm(path), catch: () => failed(`${path} cannot be removed.`) })

/** A file name of letters, digits and dashes that no other file has. `taken`: in lower case, as some disks compare names. */
const fileName = (name: string, taken: ReadonlySet<string>): string => {
  const slug =
    name
      .normalize("NFKD")
      .replace(/\p{M}/gu, "")
      .toLowerCase()
      .replace(/[^\p{L}\p{N}]+/gu, "-")
      .replace(/^-|-$/g, "") || "agent"
  for (let number = 1; ; number += 1) {
    const candidate = number === 1 ? `${slug}.json` : `${slug}-${number}.json`
    if (!taken.has(candidate)) return candidate
  }
}

/** Writes each agent into the file that has its name, or into a new one. Returns the files, and whether each has changed. */
export const writeFiles = Effect.fnUntraced(function* (
  folder: string,
  definitions: ReadonlyArray<StoredDefinition>,
) {
  yield* Effect.tryPromise({
    try: () => mkdir(folder, { recursive: true }),
    catch: () => failed(`${folder} cannot be made.`),
  })
  const known = new Map((yield* readFiles(folder)).map((file) => [keyOf(file.definition), file.path]))
  const taken = new Set([...known.values()].map((path) => basename(path).toLowerCase()))
  return yield* Effect.forEach(definitions, (definition) => {
    const path = known.get(keyOf(definition)) ?? join(folder, fileName(definition.name, taken))
    taken.add(basename(path))
    return Effect.tryPromise({
      try: async () => {
        const text = textOf(definition)
        const file = Bun.file(path)
        const isChanged = !(await file.exists()) || (await file.text()) !== text
        if (isChanged) await Bun.write(file, text)
        return { path, name: definition.name, isChanged }
      },
      catch: () => failed(`${path} cannot be written.`),
    })
  })
})
