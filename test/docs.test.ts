/** What docs/ says is so: its commands run, its links lead somewhere, and it names all that there is to name. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { existsSync, mkdirSync, symlinkSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { makeDatabase, type TestDatabase } from "./support/database.ts"
import {
  cleanUpProcesses,
  mainFile,
  newFolder,
  type ServiceProcess,
  startProcess,
} from "./support/process.ts"

const root = new URL("..", import.meta.url).pathname
const names = ["how-it-works", "deploying", "operating", "changing", "reliability", "reference/log-events"]
const pages = new Map(
  await Promise.all(
    [...names.map((name) => `docs/${name}.md`), "README.md"].map(
      async (path) => [path, await Bun.file(join(root, path)).text()] as const,
    ),
  ),
)
const textOf = (path: string) => pages.get(path) ?? ""
const operating = textOf("docs/operating.md")

/** All of the service's own code. */
const source = await Promise.all(
  [...new Bun.Glob("src/**/*.ts").scanSync(root)].map((path) => Bun.file(join(root, path)).text()),
).then((texts) => texts.join("\n"))

let database: TestDatabase
let service: ServiceProcess
let url: string

beforeAll(async () => {
  database = await makeDatabase()
  service = startProcess({ env: { DATABASE_URL: database.url, OFFLINE_ENGINES: "on" } })
  url = await service.url()
})
afterAll(async () => {
  await cleanUpProcesses()
  await database.drop()
})

/** The blocks that are marked to be run, as one script, against the service of this test. */
const scriptOf = (text: string) =>
  [...text.matchAll(/^```sh run\n(.*?)^```$/gms)]
    .map(([, commands]) => commands)
    .join("\n")
    .replaceAll("http://localhost:3000", url)

describe("commands", () => {
  test.each(names)("of %s run as they stand", async (name) => {
    const script = scriptOf(textOf(`docs/${name}.md`))
    if (script === "") return
    const folder = newFolder()
    mkdirSync(join(folder, "bin"))
    symlinkSync(mainFile, join(folder, "bin/voice-agent"))
    for (const each of ["examples", "migrations"]) symlinkSync(join(root, each), join(folder, each))
    const shell = Bun.spawn(["sh", "-euc", script], {
      cwd: folder,
      env: {
        PATH: `${join(folder, "bin")}:${dirname(process.execPath)}:${process.env.PATH}`,
        XDG_STATE_HOME: folder,
        DATABASE_URL: database.url,
        OFFLINE_ENGINES: "on",
        LOG_DIR: "",
        PORT: "0",
        VOICE_AGENT_URL: url,
      },
      stdout: "pipe",
      stderr: "pipe",
    })
    const [, problem, code] = await Promise.all([shell.stdout.text(), shell.stderr.text(), shell.exited])
    expect(code === 0 ? "" : problem).toBe("")
  })
})

/** As GitHub makes them of headings. */
const anchorsOf = (text: string) =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  )

test.each([...pages.keys()])("the links of %s lead somewhere", async (path) => {
  const broken: Array<string> = []
  for (const [, link = ""] of textOf(path).matchAll(/\]\(((?!https?:)[^)]+)\)/g)) {
    const [file = "", anchor] = link.split("#")
    const target = file === "" ? path : relative(root, join(root, dirname(path), file))
    if (!existsSync(join(root, target))) broken.push(link)
    else if (anchor !== undefined && !anchorsOf(await Bun.file(join(root, target)).text()).includes(anchor)) {
      broken.push(link)
    }
  }
  expect(broken).toEqual([])
})

test("operating.md has every code that the service answers with", () => {
  const codes = [...source.matchAll(/\bproblem\(\s*\d{3},\s*"([A-Z_]+)"/g)].map(([, code = ""]) => code)
  expect(codes.length).toBeGreaterThan(30)
  expect([...new Set(codes)].filter((code) => !operating.includes(`\`${code}\``))).toEqual([])
})

test("log-events.md has every log event", () => {
  const logged = new Set(
    [...source.matchAll(/\b(?:log(?:Debug|Info|Warning|Error)|say)\(\s*"([^"]+)"/g)].map(
      ([, event]) => event,
    ),
  )
  const documented = textOf("docs/reference/log-events.md").matchAll(/^\| `([^`]+)` \|/gm)
  expect([...documented].map(([, event]) => event).toSorted()).toEqual([...logged].toSorted())
  for (const event of logged) expect(event).toMatch(/^[a-z]+\.[a-z]+(_[a-z]+)*$/)
})

test("the variables that docs/ names are there", async () => {
  const example = await Bun.file(join(root, ".env.example")).text()
  /** The system's, the client's and the image's own. */
  const others = ["TMPDIR", "NAME", "CLIENT_LEFT", "VOICE_AGENT_KEY", "XDG_STATE_HOME"]
  const known = new Set([
    ...[...example.matchAll(/^#?([A-Z][A-Z0-9_]+)=/gm)].map(([, name]) => name),
    ...[...source.matchAll(/"([A-Z][A-Z0-9_]+)"/g)].map(([, name]) => name),
    ...others,
  ])
  const unknown = [...pages]
    .filter(([path]) => path.startsWith("docs/"))
    .flatMap(([path, text]) =>
      [...text.matchAll(/`([A-Z][A-Z0-9]*_[A-Z0-9_]+)`/g)]
        .filter(([, name]) => !known.has(name))
        .map(([, name]) => `${path}: ${name}`),
    )
  expect(unknown).toEqual([])
})
