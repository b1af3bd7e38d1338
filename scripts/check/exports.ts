/** Finds exported names that no file imports, from the source text. */
import { dirname, join, normalize } from "node:path"

const declared =
  /^export (?:declare )?(?:abstract )?(?:async )?(?:const|let|function\*?|class|interface|type|enum) (\w+)/gm
const listed = /^export (?:type )?\{([^}]*)\}/gm
const destructured = /^export const \{([^}]*)\} =/gm

const names = (list: string): ReadonlyArray<readonly [string, string]> =>
  list
    .split(",")
    .map((each) => each.trim().replace(/^type /, ""))
    .filter((each) => each !== "")
    .map((each): readonly [string, string] => {
      const [name = "", alias = name] = each.split(/ as |: /)
      return [name, alias]
    })

const exportsOf = (source: string): ReadonlyArray<string> => [
  ...[...source.matchAll(declared)].map(([, name = ""]) => name),
  ...[...source.matchAll(listed), ...source.matchAll(destructured)].flatMap(([, list = ""]) =>
    names(list).map(([, alias]) => alias),
  ),
]

const from = String.raw`\s*from\s*["'](\.{1,2}\/[^"']+)["']`
const named = new RegExp(String.raw`(?:import|export)\s+(?:type\s+)?\{([^}]*)\}${from}`, "g")
const wholes = new RegExp(String.raw`import\s+(?:type\s+)?\*\s+as\s+(\w+)${from}`, "g")
const dynamic = /\bimport\s*\(\s*["'](\.{1,2}\/[^"']+)["']/g

/** Calls `use` with each name that this file imports from another file. */
const usesOf = (file: string, source: string, use: (path: string, name: string) => void) => {
  const pathOf = (specifier: string) => normalize(join(dirname(file), specifier))
  for (const [, list = "", specifier = ""] of source.matchAll(named)) {
    for (const [name] of names(list)) use(pathOf(specifier), name)
  }
  for (const [, whole = "", specifier = ""] of source.matchAll(wholes)) {
    for (const [, name = ""] of source.matchAll(new RegExp(String.raw`\b${whole}\.(\w+)`, "g"))) {
      use(pathOf(specifier), name)
    }
  }
  // The names of a dynamic import can be anywhere in the file: every word counts.
  for (const [, specifier = ""] of source.matchAll(dynamic)) {
    for (const [word] of source.matchAll(/\b\w+\b/g)) use(pathOf(specifier), word)
  }
}

/** A type or error class in the signature of another export of its file needs no importer. */
const isInSignature = (source: string, name: string) => {
  const declaration = new RegExp(
    String.raw`^export (?:(?:type|interface) ${name}\b|class ${name} extends \w+\.TaggedError).*$`,
    "m",
  )
  const rest = source.replace(declaration, "")
  return rest !== source && new RegExp(String.raw`\b${name}\b`).test(rest)
}

/** `path: name` of every export below `folder` that no file of `sources` imports. */
export const unusedExports = (
  sources: ReadonlyMap<string, string>,
  folder: string,
): ReadonlyArray<string> => {
  const used = new Set<string>()
  for (const [file, source] of sources) usesOf(file, source, (path, name) => used.add(`${path}: ${name}`))
  return [...sources]
    .filter(([file]) => file.startsWith(`${folder}/`))
    .flatMap(([file, source]) =>
      exportsOf(source)
        .filter((name) => !isInSignature(source, name))
        .map((name) => `${file}: ${name}`),
    )
    .filter((each) => !used.has(each))
}
