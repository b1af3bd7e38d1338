import { expect, test } from "bun:test"
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ConfigProvider, Duration, Effect, Layer, Option, Schema } from "effect"
import { Settings } from "../../src/config.ts"
import { isFileModel, manifest } from "../../src/models/manifest.ts"
import { api, db, main, ollama, ollamaModel, type Service, speechModels, variablesIn } from "./compose.ts"

const Overlay = Schema.Struct({
  services: Schema.Record({
    key: Schema.String,
    value: Schema.Struct({
      image: Schema.optional(Schema.String),
      volumes: Schema.optional(Schema.Array(Schema.String)),
    }),
  }),
  volumes: Schema.Record({ key: Schema.String, value: Schema.Null }),
})

const seconds = (text = "") => {
  const [, count] = /^(\d+)s$/.exec(text) ?? []
  return Number(count)
}

const settings = Effect.runSync(
  Effect.provide(
    Settings,
    Layer.provide(Settings.layer, Layer.setConfigProvider(ConfigProvider.fromMap(new Map()))),
  ),
)

test("publishes PORT, and the database on loopback only", () => {
  // biome-ignore-start lint/suspicious/noTemplateCurlyInString: the compose file's own syntax
  expect(db.ports).toEqual(["127.0.0.1:${POSTGRES_PORT:-5432}:5432"])
  expect(api.ports).toEqual([`\${PORT:-${settings.port}}:${api.environment.PORT}`])
  // biome-ignore-end lint/suspicious/noTemplateCurlyInString: the compose file's own syntax
})

test("the service waits for the database's TCP port", () => {
  expect(api.depends_on.db).toEqual({ condition: "service_healthy" })
  expect(db.healthcheck?.test?.slice(0, 2)).toEqual(["CMD", "pg_isready"])
  expect(db.healthcheck?.test).toContain("--host=127.0.0.1")
})

test("user, database and password match on both sides", () => {
  const { POSTGRES_USER, POSTGRES_DB, POSTGRES_PASSWORD } = db.environment
  expect(api.environment.DATABASE_URL).toBe(
    `postgres://${POSTGRES_USER}:${POSTGRES_PASSWORD}@db:5432/${POSTGRES_DB}`,
  )
  expect(db.image).toBe("postgres:15-alpine")
})

test("both restart, have health checks and time to stop", () => {
  for (const { restart, healthcheck, stop_grace_period } of [api, db]) {
    expect(restart).toBe("unless-stopped")
    expect(healthcheck).toBeDefined()
    expect(seconds(stop_grace_period)).toBeGreaterThan(10)
  }
  expect(seconds(api.stop_grace_period)).toBeGreaterThan(Duration.toSeconds(settings.shutdownTimeout))
})

test("data is in named volumes", () => {
  const { DATA_DIR, LOG_DIR } = api.environment
  expect(api.volumes).toEqual([`data:${DATA_DIR}`, `logs:${LOG_DIR}`])
  expect(db.volumes).toEqual(["db:/var/lib/postgresql/data"])
  expect(Object.keys(main.volumes)).toEqual(["data", "logs", "db", "ollama"])
})

test("the profile local has a model before the service looks for it", () => {
  expect(api.profiles).toBeUndefined()
  expect([ollama.profiles, ollamaModel.profiles]).toEqual([["local"], ["local"]])
  expect(api.depends_on["ollama-model"]).toEqual({
    condition: "service_completed_successfully",
    required: false,
  })
  expect(ollamaModel.depends_on).toEqual({ ollama: { condition: "service_healthy" } })
  expect([ollamaModel.restart, ollama.healthcheck]).toEqual(["no", expect.anything()])
  expect([...variablesIn(`${ollamaModel.environment.MODEL}`).keys()]).toEqual(["LOCAL_LLM_MODEL"])
  expect(ollama.volumes).toEqual(["ollama:/root/.ollama"])
  expect(manifest.some((model) => !isFileModel(model) && model.ollama === localModel)).toBe(true)
})

const [localModel = ""] = variablesIn(`${ollamaModel.environment.MODEL}`).get("LOCAL_LLM_MODEL") ?? []

test("the profile local has the speech models for the volume of the service", () => {
  expect(api.depends_on["speech-models"]).toEqual({
    condition: "service_completed_successfully",
    required: false,
  })
  expect(speechModels).toMatchObject({ build: api.build, profiles: ["local"], restart: "no" })
  expect(speechModels.environment.DATA_DIR).toBe(`${api.environment.DATA_DIR}`)
  expect(api.volumes).toContain(`${speechModels.volumes[0]}`)
  for (const name of ["STT_LANGUAGE", "STT_MODEL", "TTS_MODEL"])
    expect(Object.keys(speechModels.environment)).toContain(name)
})

/** Runs the command of a service with a program in place of `ollama` and `./voice-agent`; what it was called with. */
const runWith = async (
  { entrypoint = [], command = [] }: Service,
  program: string,
  names: Record<string, string> = {},
) => {
  const folder = mkdtempSync(join(tmpdir(), "compose-"))
  for (const name of ["ollama", "voice-agent"]) {
    await Bun.write(join(folder, name), `#!/bin/sh\necho "$*" >> calls\n${program}\n`)
    chmodSync(join(folder, name), 0o755)
  }
  const args = [...entrypoint, ...command].map((text) => text.replaceAll("$$", "$"))
  const shell = Bun.spawn(args, {
    cwd: folder,
    env: { PATH: `${folder}:${process.env.PATH}`, MODEL: localModel, ...names },
    stdout: "pipe",
  })
  const said = await new Response(shell.stdout).text()
  const code = await shell.exited
  const calls = readFileSync(join(folder, "calls"), "utf8").trim().split("\n")
  rmSync(folder, { recursive: true })
  return { code, said, calls }
}

test("a failed download does not keep the service from starting", async () => {
  for (const each of [ollamaModel, speechModels]) {
    const { code, said } = await runWith(each, "exit 1")
    expect([code, said]).toEqual([0, expect.stringContaining("The service starts without")])
  }
  const noMemory = await runWith(ollamaModel, '[ "$1" != run ]')
  expect([noMemory.code, noMemory.said]).toEqual([0, expect.stringContaining(localModel)])
})

test("a model that is there is loaded, and a missing one downloaded first", async () => {
  expect(await runWith(ollamaModel, "exit 0")).toEqual({
    code: 0,
    said: "",
    calls: [`show ${localModel}`, `run ${localModel}`],
  })
  const missing = await runWith(ollamaModel, '[ "$1" != show ]')
  expect(missing.calls).toEqual([`show ${localModel}`, `pull ${localModel}`, `run ${localModel}`])
})

test.each([
  ["", "", "--stt", "--tts"],
  ["whisper-1", "tts-1", "--stt", "--tts"],
  ["whisper", "pocket-tts", "--stt", "--tts"],
  ["whisper-base", "", "silero-vad whisper-base", "--tts"],
  ["whisper-1", "pocket-tts-en", "--stt", "pocket-tts-en"],
])("the speech models of STT_MODEL=%s and TTS_MODEL=%s", async (STT_MODEL, TTS_MODEL, hearing, voice) => {
  const list = manifest.map((model) => JSON.stringify({ name: model.name, role: model.role })).join("\n")
  const program = `[ "$2" = pull ] || cat << END\n${list}\nEND`
  const expected = {
    calls: ["models list --json", `models pull ${hearing} --yes`, `models pull ${voice} --yes`],
  }
  expect(await runWith(speechModels, program, { STT_MODEL, TTS_MODEL })).toMatchObject({
    ...expected,
    said: "",
  })
  const failing = `${program}\ncase "$*" in *pull*"${hearing}"*) exit 1;; esac`
  expect(await runWith(speechModels, failing, { STT_MODEL, TTS_MODEL })).toMatchObject({
    ...expected,
    code: 0,
    said: expect.stringContaining("The service starts without"),
  })
})

test("service and Ollama agree on its address", () => {
  const address = ollamaModel.environment.OLLAMA_HOST
  expect(variablesIn(`${api.environment.OLLAMA_HOST}`).get("OLLAMA_HOST")).toEqual([`${address}`])
  expect(ollama.networks?.default?.aliases).toEqual([new URL(`${address}`).hostname])
})

test("the service reaches servers on the host", () => {
  expect(api.extra_hosts).toEqual(["host.docker.internal:host-gateway"])
})

test("no proxy stands before Ollama and the host", () => {
  const [given, ...suffixes] = `${api.environment.NO_PROXY}`.split(",")
  expect([...variablesIn(`${given}`)]).toEqual([["NO_PROXY", [""]]])
  for (const host of ["host.docker.internal", ...(ollama.networks?.default?.aliases ?? [])]) {
    expect(suffixes.some((suffix) => `.${host}`.endsWith(`.${suffix}`))).toBe(true)
  }
})

test("containers run with the least privilege", () => {
  for (const { cap_drop, security_opt } of [api, db, speechModels]) {
    expect(cap_drop).toEqual(["ALL"])
    expect(security_opt).toEqual(["no-new-privileges:true"])
  }
  expect(api.cap_add).toBeUndefined()
  expect(api.read_only).toBe(true)
  expect(api.tmpfs).toStartWith("/tmp:size=")
})

test("/tmp has room for several of the largest uploads", () => {
  const [, gigabytes] = /^\/tmp:size=(\d+)g,/.exec(`${api.tmpfs}`) ?? []
  // UPLOAD_SPACE_MB defaults to half of it, and one user may use half of that.
  expect((Number(gigabytes) * 1024 ** 3) / 4 / settings.maxAudioBytes).toBeGreaterThanOrEqual(4)
  expect(settings.uploadSpace).toEqual(Option.none())
})

test("every image is pinned to a version", () => {
  const images = Object.values(main.services).map(({ image }) => image)
  expect(images.filter((image) => image !== undefined && !/:v?\d+/.test(image))).toEqual([])
})

/** The files that are used together with docker-compose.yml. */
test.each(["docs/scaling/compose.yml", "docs/monitoring/compose.yml"])(
  "%s names files that exist",
  async (name) => {
    const root = new URL("../../", import.meta.url)
    const text = await Bun.file(new URL(name, root)).text()
    const paths = [...text.matchAll(/^ +- (\.\/[^:]+):/gm)].map(([, path = ""]) => path)
    expect(paths.length).toBeGreaterThan(0)
    for (const path of paths)
      expect([path, await Bun.file(new URL(path, root)).exists()]).toEqual([path, true])
    const { services, volumes } = Schema.decodeUnknownSync(Overlay)(
      // Compose's own tag for "take away what the first file has".
      Bun.YAML.parse(text.replace("!reset []", "[]")),
    )
    expect(services.api).toBeDefined()
    for (const [service, { image, volumes: mounts = [] }] of Object.entries(services)) {
      if (service !== "api") expect(image).toMatch(/^[\w./-]+:v?\d+\.\d+\.\d+/)
      const named = mounts.filter((mount) => !mount.startsWith(".")).map((mount) => mount.split(":")[0])
      expect(named.filter((volume) => volume === undefined || !(volume in volumes))).toEqual([])
    }
  },
)

test("three processes have fewer connections than PostgreSQL", async () => {
  const text = await Bun.file(new URL("../../docs/scaling/compose.yml", import.meta.url)).text()
  const replicas = Number(/replicas: (\d+)/.exec(text)?.[1])
  expect(replicas).toBe(3)
  // PostgreSQL's own default of max_connections, without those for its administrator.
  expect(replicas * settings.databasePoolSize).toBeLessThan(97)
})
