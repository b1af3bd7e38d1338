/** The documentation is right: its commands run, its links lead somewhere, and its references are complete. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { packageManager, scripts, version } from "../package.json"
import { isFileModel, manifest, sizeOf } from "../src/models/manifest.ts"
import { makeDatabase, type TestDatabase } from "./support/database.ts"
import {
  cleanUpProcesses,
  mainFile,
  newFolder,
  type ServiceProcess,
  sourceFile,
  startProcess,
  withoutOptimizer,
} from "./support/process.ts"
import { startUpstream, type Upstream } from "./support/upstream.ts"

// A page runs up to ten commands, each a process, on a machine that may be busy.
setDefaultTimeout(120_000)

const root = new URL("..", import.meta.url).pathname
const paths = ["*.md", "docs/**/*.md", ".github/**/*.md"]
  .flatMap((pattern) => [...new Bun.Glob(pattern).scanSync({ cwd: root, dot: true })])
  .toSorted()
const pages = new Map(
  await Promise.all(paths.map(async (path) => [path, await Bun.file(join(root, path)).text()] as const)),
)
const textOf = (path: string) => pages.get(path) ?? ""

/** All of the service's own code. */
const source = await Promise.all(
  [...new Bun.Glob("src/**/*.ts").scanSync(root)].map((path) => Bun.file(join(root, path)).text()),
).then((texts) => texts.join("\n"))

let database: TestDatabase
let upstream: Upstream
let service: ServiceProcess
let url: string

beforeAll(async () => {
  database = await makeDatabase()
  // A scripted provider, because the offline engines need a second of CPU for each turn.
  upstream = await startUpstream()
  service = startProcess({
    env: { DATABASE_URL: database.url, OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: upstream.baseUrl },
  })
  url = await service.url()
})
afterAll(async () => {
  await cleanUpProcesses()
  await upstream.stop()
  await database.drop()
})

/** The blocks of a page that are marked `sh run`, as one script. */
const scriptOf = (text: string) =>
  [...text.matchAll(/^```sh run\n(.*?)^```$/gms)].map(([, commands]) => commands).join("\n")

const withScript = paths.filter((path) => scriptOf(textOf(path)) !== "")

/** `./voice-agent`, of the program that starts faster where there is one. test/process has tests of the script itself. */
const makeVoiceAgent = (path: string) =>
  mainFile === sourceFile
    ? symlinkSync(join(root, "voice-agent"), path)
    : writeFileSync(path, `#!/bin/sh\nexec "${process.execPath}" "${mainFile}" "$@"\n`, { mode: 0o755 })

/** Runs a page's script against the service of this test, and returns its output. */
const runScript = async (path: string) => {
  const folder = newFolder()
  mkdirSync(join(folder, "bin"))
  for (const each of ["bin/voice-agent", "voice-agent"]) makeVoiceAgent(join(folder, each))
  for (const each of ["examples", "migrations"]) symlinkSync(join(root, each), join(folder, each))
  const script = scriptOf(textOf(path)).replaceAll("http://localhost:3000", url)
  const shell = Bun.spawn(["sh", "-euc", script], {
    cwd: folder,
    env: {
      PATH: `${join(folder, "bin")}:${dirname(process.execPath)}:${process.env.PATH}`,
      XDG_STATE_HOME: join(folder, "state"),
      DATABASE_URL: database.url,
      OFFLINE_ENGINES: "on",
      LOG_DIR: "",
      PORT: "0",
      VOICE_AGENT_URL: url,
      ...withoutOptimizer,
    },
    stdout: "pipe",
    stderr: "pipe",
  })
  const [output, problem, code] = await Promise.all([shell.stdout.text(), shell.stderr.text(), shell.exited])
  expect(code === 0 ? "" : problem).toBe("")
  return output
}

describe("commands", () => {
  const checked = ["README.md", "docs/getting-started.md"]
  /** Its commands speak in real time: they run beside those of the other pages. */
  const spoken = "docs/guides/realtime.md"
  let running: Promise<string> | undefined
  beforeAll(() => {
    running = runScript(spoken)
    // The test of the page reports it.
    running.catch(() => undefined)
  })

  const others = withScript.filter((path) => ![...checked, spoken].includes(path))
  test.each(others)("of %s run as they stand", async (path) => {
    await runScript(path)
  })

  test("of README.md hold a conversation", async () => {
    expect(await runScript("README.md")).toMatch(
      /event: turn\.started.*event: transcript.*event: turn\.completed/s,
    )
  })

  test("of getting-started.md hold a conversation, and show the errors that they name", async () => {
    const page = textOf("docs/getting-started.md")
    const output = await runScript("docs/getting-started.md")
    expect(output.match(/^x-turn-id: .*$/gim)).toHaveLength(3)
    expect(output).toContain("event: turn.completed")
    expect(output).toMatch(/^idempotent-replayed: true/im)
    const errors = [...page.matchAll(/# ([A-Z_]+) \((\d{3})\)$/gm)]
    expect(errors.length).toBeGreaterThan(4)
    for (const [, code, status] of errors) {
      expect(output).toMatch(new RegExp(`"error":"${code}".* \\(${status}\\)$`, "m"))
    }
  })

  test(`of ${spoken} run as they stand`, async () => {
    expect(withScript).toContain(spoken)
    await running
  })

  test("of package.json are named as they are", () => {
    const names = paths.flatMap((path) =>
      [...textOf(path).matchAll(/\bbun(?:@[\d.]+)? run ([a-z:]+)/g)].map(([, name = ""]) => name),
    )
    expect(names).toContain("demo")
    expect(names).toContain("check")
    expect(names.filter((name) => !Object.hasOwn(scripts, name))).toEqual([])
  })
})

test("every file names the pinned version of Bun", async () => {
  const globs = ["*.md", "docs/**/*.md", ".ci/run", ".github/**/*", "voice-agent"]
  const files = globs.flatMap((glob) => [...new Bun.Glob(glob).scanSync({ cwd: root, dot: true })])
  const texts = await Promise.all(files.map((file) => Bun.file(join(root, file)).text()))
  const named = texts.flatMap((text) => [
    ...[...text.matchAll(/\bbun@\d[\d.]*\d/g)].map(([name]) => name),
    ...[...text.matchAll(/bun-version: (\S+)/g)].map(([, number]) => `bun@${number}`),
  ])
  expect(named.length).toBeGreaterThan(10)
  expect(named.filter((name) => name !== packageManager)).toEqual([])
})

test("CHANGELOG.md begins with the version of package.json", () => {
  expect(/^## \[([\d.]+)\]/m.exec(textOf("CHANGELOG.md"))?.[1]).toBe(version)
})

test("the tarball of the client has the version of package.json", () => {
  const named = [...textOf("docs/guides/client.md").matchAll(/voice-agent-client-([\d.]+)\.tgz/g)]
  expect(named.length).toBeGreaterThan(1)
  for (const [, number] of named) expect(number).toBe(version)
})

test.each(manifest.map((model) => [model.name, model] as const))(
  "models.md has the source of %s",
  (name, model) => {
    const row = textOf("docs/guides/models.md")
      .split("\n")
      .find((line) => line.startsWith(`| \`${name}\` | `) && line.includes(": `"))
    const megabytes = sizeOf(model) / 1e6
    const size = megabytes < 1000 ? `${Math.ceil(megabytes)} MB` : `${(megabytes / 1000).toFixed(1)} GB`
    expect(row).toEndWith(`| ${size} | ${model.licence} |`)
    const sources = isFileModel(model)
      ? model.files
          .flatMap(({ sources }) => sources)
          .flatMap((source) =>
            "npm" in source ? source.npm.package : "hub" in source ? source.hub.repository : [],
          )
      : [model.ollama]
    expect(sources.length).toBeGreaterThan(0)
    for (const source of sources) expect(row).toContain(`\`${source}\``)
  },
)

test("README.md has at most 150 lines", () => {
  expect(textOf("README.md").split("\n").length).toBeLessThanOrEqual(150)
})

test("the index of decisions lists every record", () => {
  const index = textOf("docs/decisions/README.md")
  const records = paths.filter((path) => /^docs\/decisions\/(?!README)/.test(path))
  expect(records.length).toBeGreaterThan(7)
  expect(records.filter((path) => !index.includes(`](${path.split("/").at(-1)})`))).toEqual([])
})

/** As GitHub makes them of headings. */
const anchorsOf = (text: string) =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  )

test.each(paths)("the links of %s lead somewhere", async (path) => {
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

test("errors.md has every error code", () => {
  const codes = [...source.matchAll(/\bproblem\(\s*\d{3},\s*"([A-Z_]+)"/g)].map(([, code = ""]) => code)
  expect(codes.length).toBeGreaterThan(30)
  const page = textOf("docs/reference/errors.md")
  expect([...new Set(codes)].filter((code) => !page.includes(`\`${code}\``))).toEqual([])
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

test("docs/ names only variables that exist", async () => {
  const example = await Bun.file(join(root, ".env.example")).text()
  /** Of the system, the client, SQL, the tests and Bun. */
  const ofBun = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "NODE_EXTRA_CA_CERTS"]
  const others = [
    "TMPDIR",
    "NAME",
    "CLIENT_LEFT",
    "VOICE_AGENT_KEY",
    "XDG_STATE_HOME",
    ...ofBun,
    "HF_ENDPOINT",
    "OLLAMA_HOST",
  ]
  const monitoring = await Bun.file(join(root, "docs/monitoring/compose.yml")).text()
  const known = new Set([
    ...[...monitoring.matchAll(/\$\{([A-Z_]+)/g)].map(([, name]) => name),
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
