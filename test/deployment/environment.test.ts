import { expect, test } from "bun:test"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ConfigProvider, Effect, Layer, Schema } from "effect"
import { sections } from "../../src/config/variables.ts"
import { Settings } from "../../src/config.ts"
import { api, composeText, variablesIn } from "./compose.ts"

const example = await Bun.file(new URL("../../.env.example", import.meta.url)).text()
const lines = example.split("\n")

/** `NAME=value`, or `#NAME=value` for a default. Comments have a space after the `#`. */
const assignment = /^(#?)([A-Z][A-Z0-9_]*)=(.*)$/
const assignments = lines.flatMap((line, index) => {
  const [, off, name = ""] = assignment.exec(line) ?? []
  return off === undefined ? [] : [{ name, active: off === "", before: lines[index - 1] ?? "" }]
})
const named = assignments.map(({ name }) => name)

/** The settings of an environment, and the names of all variables that were read. */
const load = (environment: Record<string, string>) => {
  const asked = new Set<string>()
  const values = ConfigProvider.fromMap(new Map(Object.entries(environment))).flattened
  const provider = ConfigProvider.fromFlat(
    ConfigProvider.makeFlat({
      load: (path, config, split) => {
        asked.add(path.join("_"))
        return values.load(path, config, split)
      },
      enumerateChildren: values.enumerateChildren,
      patch: values.patch,
    }),
  )
  const layer = Layer.provide(Settings.layer, Layer.setConfigProvider(provider))
  return { settings: Effect.runSync(Effect.provide(Settings, layer)), asked: [...asked].toSorted() }
}

const Environment = Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.String }))

/** A .env file as Bun reads it. */
const readByBun = async (text: string) => {
  const folder = await mkdtemp(join(tmpdir(), "voice-agent-env-"))
  try {
    await Bun.write(join(folder, "file"), text)
    const print = "process.stdout.write(JSON.stringify(process.env))"
    const child = Bun.spawnSync([process.execPath, `--env-file=${join(folder, "file")}`, "-e", print], {
      cwd: folder,
      env: {},
    })
    return Schema.decodeSync(Environment)(child.stdout.toString())
  } finally {
    await rm(folder, { recursive: true })
  }
}

const { settings: defaults, asked } = load({})
const documented = sections.flatMap(({ variables }) => Object.values(variables).map(({ docs }) => docs.name))
const composeVariables = variablesIn(composeText)
/** Bun reads these itself. */
const ofBun = ["HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "NODE_EXTRA_CA_CERTS"]
const ofComposeOnly = [...composeVariables.keys()]
  .filter((name) => ![...asked, ...ofBun].includes(name))
  .toSorted()

test("every variable that the service reads is documented", () => {
  expect(documented.toSorted()).toEqual(asked)
})

test(".env.example has every variable once", () => {
  expect(named.toSorted()).toEqual([...asked, ...ofComposeOnly].toSorted())
})

test(".env.example explains every variable", () => {
  expect(assignments.filter(({ before }) => !/^# \S/.test(before))).toEqual([])
})

test("a copy of .env.example changes nothing", async () => {
  expect(assignments.filter(({ active }) => active).map(({ name }) => name)).toEqual(["OPENAI_API_KEY"])
  const environment = await readByBun(example)
  expect(environment.OPENAI_API_KEY).toBe("")
  expect(load(environment).settings).toEqual(defaults)
})

test(".env.example shows the defaults", async () => {
  const environment = await readByBun(lines.map((line) => line.replace(assignment, "$2=$3")).join("\n"))
  expect(load(environment).settings).toEqual(defaults)

  for (const name of ofComposeOnly) {
    expect([name, ...(composeVariables.get(name) ?? [])]).toEqual([name, environment[name] ?? ""])
  }
})

test("docker-compose.yml passes on every variable", () => {
  expect(Object.keys(api.environment).toSorted()).toEqual([...asked, ...ofBun].toSorted())
})

/** A variable with a default in the syntax of compose files. */
const interpolated = (name: string, value: string) => `\${${name}:-${value}}`

test("docker-compose.yml sets only what its container needs", () => {
  const decided = Object.entries(api.environment).filter(([, value]) => value !== null)
  expect(Object.fromEntries(decided)).toEqual({
    NODE_ENV: "production",
    HOST: "0.0.0.0",
    PORT: 3000,
    DATA_DIR: "/app/data",
    LOG_DIR: "/app/logs",
    FFMPEG_PATH: "ffmpeg",
    METRICS_HOST: "0.0.0.0",
    DATABASE_URL: `postgres://voice_agent:${interpolated("POSTGRES_PASSWORD", "voicepass")}@db:5432/voice_agent`,
    OFFLINE_ENGINES: interpolated("OFFLINE_ENGINES", "true"),
    OLLAMA_HOST: interpolated("OLLAMA_HOST", "http://ollama.voice-agent.internal:11434"),
    NO_PROXY: `${interpolated("NO_PROXY", "")},voice-agent.internal,host.docker.internal`,
  })
})
