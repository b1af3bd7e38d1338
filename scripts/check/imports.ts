/** The import graph, from the source text. Paths are relative to the project's folder. */
import { dirname, join, normalize } from "node:path"

const root = join(import.meta.dir, "../..")

/** `from "./x.ts"`, `import "./x.ts"`, `import("./x.ts")`; type imports too. */
const specifier = /(?:\bfrom|\bimport\s*\(?)\s*["'](\.{1,2}\/[^"']+)["']/g

export type ImportGraph = ReadonlyMap<string, ReadonlySet<string>>

/** The text of every TypeScript file in these folders. */
export const readSources = async (folders: ReadonlyArray<string>): Promise<ReadonlyMap<string, string>> => {
  const files = folders.flatMap((folder) => [
    ...new Bun.Glob(`${folder}/**/*.{ts,js}`).scanSync({ cwd: root }),
  ])
  // A test with packages of its own has them in its folder.
  const own = files.filter((file) => !file.includes("node_modules"))
  const texts = own.toSorted().map(async (file) => [file, await Bun.file(join(root, file)).text()] as const)
  return new Map(await Promise.all(texts))
}

export const importsOf = (file: string, source: string): ReadonlyArray<string> =>
  [...source.matchAll(specifier)].map(([, path = ""]) => normalize(join(dirname(file), path)))

export const graphOf = (sources: ReadonlyMap<string, string>): ImportGraph =>
  new Map([...sources].map(([file, source]) => [file, new Set(importsOf(file, source))]))

/** `start`, and every file that imports one of these files, directly or through others. */
export const dependents = (graph: ImportGraph, start: Iterable<string>): ReadonlySet<string> => {
  const found = new Set(start)
  for (let before = -1; before !== found.size; ) {
    before = found.size
    for (const [file, imports] of graph) {
      if (!found.has(file) && [...imports].some((path) => found.has(path))) found.add(file)
    }
  }
  return found
}
