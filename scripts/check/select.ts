/** Picks test files for a part of the check. */
import { join } from "node:path"
import { dependents, graphOf, readSources } from "./imports.ts"

const root = join(import.meta.dir, "../..")

const isTest = (file: string) => file.endsWith(".test.ts")

/**
 * Test files that start a database and contain SQL, or whose folder is about stored rows. In these, another version
 * of PostgreSQL can make a difference.
 */
export const sqlTests = async (): Promise<ReadonlyArray<string>> => {
  const sources = await readSources(["test"])
  return [...sources.keys()].filter(isTest).filter((file) => {
    const source = sources.get(file) ?? ""
    const startsDatabase = /\b(?:make(?:Empty)?Database|startService|startTurns)\(/.test(source)
    const isAboutRows = /^test\/(?:accounts|conversation|db)\//.test(file) || /\bsql\b/.test(source)
    return startsDatabase && isAboutRows && !isAboutPrograms.test(file)
  })
}

/** These test processes, the page and the bench programs. The statements that they reach are those of other tests. */
const isAboutPrograms = /^test\/(?:bench|deployment|page|process\/(?!doctor|users))/

/** What a change is compared with: the first that exists. On `main` itself, what is not pushed is the change. */
const bases = ["origin/main", "main", "HEAD"]

/** Test files around what differs from the last common commit with `main`. Says how many. */
export const changedTests = async (): Promise<ReadonlyArray<string>> => {
  const found = await Promise.all(bases.map((base) => git("merge-base", base, "HEAD")))
  const [base = "HEAD"] = found.flat()
  const changed = await Promise.all([
    git("diff", "--name-only", base),
    git("ls-files", "--others", "--exclude-standard"),
  ])
  const sources = await readSources(["src", "test", "scripts", "examples"])
  const tests = testsAround(changed.flat(), sources)
  const all = [...sources.keys()].filter(isTest).length
  console.log(`${tests.length} of ${all} test files are about what differs from ${base.slice(0, 8)}.`)
  return tests
}

/** Every test that starts the service imports all of `src` through these files, so an import of them proves nothing. */
const importsAll = (file: string) => /^(src\/(app|main)\.ts$|test\/support\/)/.test(file)

/**
 * The test files that import a changed file, directly or through others, those of the folder that mirrors its own, and
 * the tests of the whole service that are about it.
 */
export const testsAround = (
  changed: ReadonlyArray<string>,
  sources: ReadonlyMap<string, string>,
): ReadonlyArray<string> => {
  const all = graphOf(sources)
  const graph = changed.some(importsAll) ? all : new Map([...all].filter(([file]) => !importsAll(file)))
  const tests = [...sources.keys()].filter(isTest)
  const mirrors = changed.flatMap((file) => mirrorsOf(file)).map((pattern) => new Bun.Glob(pattern))
  const importers = dependents(graph, changed)
  return tests.filter((file) => importers.has(file) || mirrors.some((mirror) => mirror.match(file)))
}

const turns = "test/http/turn*.test.ts"

/** Tests through the service's front doors that are about a folder of `src`; one turn for those not named. */
const blackBox: Readonly<Record<string, string>> = {
  accounts: "test/http/{account,keys,registration,users}.test.ts",
  agent: turns,
  cli: "test/process/*.test.ts",
  client: "test/{client,page}/*.test.ts",
  conversation: turns,
  limits: "test/http/{rate-limits,turn-admission,turn-busy}.test.ts",
  page: "test/page/*.test.ts",
  turn: turns,
}

const mirrorsOf = (file: string): ReadonlyArray<string> => {
  const [top = "", folder = ""] = file.split("/")
  if (top === "src") return [`test/${folder}/**/*.test.ts`, blackBox[folder] ?? "test/http/turn.test.ts"]
  if (top === "migrations") return ["test/{db,conversation}/**/*.test.ts"]
  if (top === "scripts") return ["test/bench/**/*.test.ts"]
  if (file.endsWith(".md")) return ["test/docs.test.ts"]
  if (/^(Dockerfile|.*compose.*\.yml|\.env\.example)$/.test(file)) return ["test/deployment/*.test.ts"]
  return []
}

const git = async (...args: ReadonlyArray<string>): Promise<ReadonlyArray<string>> => {
  const child = Bun.spawn(["git", ...args], { cwd: root, stdout: "pipe", stderr: "ignore" })
  const output = await new Response(child.stdout).text()
  return (await child.exited) === 0 ? output.split("\n").filter((line) => line !== "") : []
}
