import { afterAll, beforeEach, describe, expect, test } from "bun:test"
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { Option } from "effect"
import { sha256 } from "../../src/hash.ts"
import { findFileModel, manifest } from "../../src/models/manifest.ts"
import { runCommand, stopCommands } from "../support/commands.ts"
import { type FileServer, instead, stallAfter, startFileServer } from "../support/file-server.ts"
import { bytesOf } from "../support/models.ts"
import { cleanUpProcesses, mainFile, newFolder, startProcess } from "../support/process.ts"
import { tempFolder } from "../support/temp-folders.ts"

const bytes = bytesOf(400_000)
const server: FileServer = await startFileServer({ "/encoder": bytes })
afterAll(async () => {
  await stopCommands()
  await cleanUpProcesses()
  await server.stop()
})
beforeEach(() => {
  server.script.length = 0
})

const holder = (folder: string) =>
  startProcess({
    args: [
      join(import.meta.dir, "../support/pull-holder.ts"),
      folder,
      `${server.url}/encoder`,
      `${bytes.length}`,
      sha256(bytes),
    ],
  })

describe("processes", () => {
  test("a killed one leaves its part and its lock to the next", async () => {
    const folder = tempFolder("models")
    server.script.push(stallAfter(200_000))
    const before = server.requests.length
    const first = holder(folder)
    await first.says(/at 200000/)
    first.signal("SIGKILL")
    await first.ended
    expect(existsSync(join(folder, "small/1"))).toBe(false)
    expect(readdirSync(join(folder, "small/1.part")).toSorted()).toEqual([
      "encoder.onnx.download",
      "encoder.onnx.etag",
    ])
    const second = holder(folder)
    await second.says(/new true/)
    expect(server.requests.slice(before).map(({ range }) => range)).toEqual([undefined, "bytes=200000-"])
    expect(sha256(await Bun.file(join(folder, "small/1/encoder.onnx")).bytes())).toBe(sha256(bytes))
  })

  test("a second one waits for the first", async () => {
    const folder = tempFolder("models")
    server.script.push(stallAfter(200_000))
    const before = server.requests.length
    const first = holder(folder)
    await first.says(/at 200000/)
    const second = holder(folder)
    await second.says(/waiting/)
    server.cut()
    await first.says(/new true/)
    await second.says(/new false/)
    expect(server.requests.slice(before)).toHaveLength(2)
  })
})

interface Given {
  readonly cwd?: string
  readonly env?: Record<string, string>
}

const models = async (args: ReadonlyArray<string>, { cwd = newFolder(), env = {} }: Given = {}) => {
  const all = { OLLAMA_HOST: "127.0.0.1:1", NODE_ENV: "production", ...env }
  return { cwd, ...(await runCommand(["models", ...args], { cwd, env: all })) }
}

const vad = Option.getOrThrow(findFileModel(manifest, "silero-vad"))
const [vadFile] = vad.files

/** Puts a file of the right size and wrong bytes where the model would be. */
const plant = (cwd: string) => {
  const path = join(cwd, ".data/models", vad.name, vad.version, vadFile.path)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, new Uint8Array(vadFile.size))
}

describe("list", () => {
  test("needs no settings", async () => {
    const { code, stdout, stderr } = await models([])
    expect([code, stderr]).toEqual([0, ""])
    for (const { name, licence } of manifest) {
      expect(stdout.split("\n").find((line) => line.startsWith(`${name} `))).toContain(licence)
    }
    expect(stdout).toContain('and the language "en".')
  })

  test("as JSON", async () => {
    const { stdout } = await models(["--json", "--language", "de"])
    const rows: ReadonlyArray<{ name: string; isRecommended: boolean; isInstalled: boolean }> = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
    expect(rows.map(({ name }) => name)).toEqual(manifest.map(({ name }) => name))
    expect(rows.find(({ name }) => name === "moonshine-tiny-en")).toMatchObject({
      isRecommended: false,
      isInstalled: false,
    })
  })

  test("marks what is recommended", async () => {
    const { stdout } = await models(["list"])
    const of = (name: string) => stdout.split("\n").find((line) => line.startsWith(`${name} `))
    expect(stdout).not.toContain("not used")
    expect(of("silero-vad")).toEndWith("  recommended")
    expect(stdout).toEndWith("To install the recommended models: ./voice-agent models pull\n")
  })

  test("other languages", async () => {
    const { stdout } = await models(["list", "--language", "DE"])
    expect(stdout).toMatch(/silero-vad .*recommended/)
    expect(stdout).toMatch(/(parakeet|whisper)\S+ .*recommended/)
    expect(stdout).toContain("./voice-agent models pull --language de\n")
    expect(stdout).not.toContain("No offline engine")
    // Zulu.
    const unknown = await models(["list", "--language", "zu"])
    expect(unknown.stdout).not.toMatch(/silero-vad .*recommended/)
    expect(unknown.stdout).toContain(
      "No offline engine understands Zulu. Set OPENAI_API_KEY, or STT_BASE_URL to ",
    )
    expect(await models(["pull", "--stt", "--language", "zu", "--yes"])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("There is no model to download. No offline engine understands Zulu."),
    })
    expect(await models(["pull", "--tts", "--language", "zu", "--yes"])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("flite and espeak-ng, which are programs, speak."),
    })
  })

  test("STT_LANGUAGE is the language, if --language does not say another", async () => {
    for (const [setting, language] of [
      ["de", "de"],
      ["fr_FR", "fr"],
      ["DE-ch", "de"],
      ["", "en"],
      ["german", "en"],
    ] as const) {
      const { stdout } = await models(["list"], { env: { STT_LANGUAGE: setting } })
      expect(stdout).toContain(`and the language "${language}".`)
    }
    const env = { STT_LANGUAGE: "zu" }
    expect((await models(["list", "--language", "de"], { env })).stdout).toContain('the language "de".')
    expect((await models(["pull", "--stt", "--yes"], { env })).stderr).toContain("understands Zulu")
  })

  test("wrong usage", async () => {
    for (const code of ["xx", "zz", "d"]) {
      expect(await models(["list", "--language", code])).toMatchObject({ code: 2, stdout: "" })
    }
    expect(await models(["nope"])).toMatchObject({ code: 2, stdout: "" })
    expect(await models(["list", "--language", "english"])).toMatchObject({ code: 2 })
    expect(await models(["remove"])).toMatchObject({ code: 2 })
    expect(await models(["pull", "--from", "s3://bucket"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("or an http, https or file URL"),
    })
    expect(await models(["pull", "nope"])).toMatchObject({
      code: 1,
      stderr: 'There is no model "nope". ./voice-agent models lists them.\n',
    })
  })
})

describe("pull", () => {
  const registry = { npm_config_registry: `${server.url}/npm` }

  test("asks the registry with its path and token", async () => {
    const cwd = newFolder()
    writeFileSync(join(cwd, ".npmrc"), `//${new URL(server.url).host}/npm/:_authToken=\${TOKEN}\n`)
    const before = server.requests.length
    const { code, stdout, stderr } = await models(["pull", "silero-vad", "--yes"], {
      cwd,
      env: { ...registry, TOKEN: "secret" },
    })
    expect(code).toBe(1)
    expect(stdout).toContain("silero-vad  3 MB  MIT")
    expect(stderr).toContain("there is no such file (status 404)")
    expect(stderr).toContain("set npm_config_registry")
    expect(stderr).not.toContain("secret")
    expect(server.requests.slice(before).map(({ path, authorization }) => [path, authorization])).toEqual([
      ["/npm/@livekit/agents-plugin-silero/-/agents-plugin-silero-1.9.0.tgz", "Bearer secret"],
    ])
  })

  test("installs no other bytes", async () => {
    server.script.push(instead(bytes, { "content-length": `${bytes.length}` }))
    const { code, cwd, stderr } = await models(["pull", "silero-vad", "--yes"], { env: registry })
    expect(code).toBe(1)
    expect(stderr).toMatch(/has 400000 bytes instead of \d+, so it was not installed\./)
    expect(existsSync(join(cwd, ".data/models/silero-vad", vad.version))).toBe(false)
  })

  test("without a network", async () => {
    const { code, stderr } = await models(["pull", "silero-vad", "--yes", "--json"], {
      env: { npm_config_registry: "http://127.0.0.1:1" },
    })
    expect(code).toBe(1)
    expect(stderr).toMatch(
      /^127\.0\.0\.1:1 could not be reached \(\w+\)\. Check the network, set npm_config_registry to a registry that this machine can reach, or use --from with a folder or URL that has a copy of another machine's folder of models\.\n$/,
    )
  })

  test("goes on after a failure, and lists what failed", async () => {
    const env = { npm_config_registry: "http://127.0.0.1:1", HF_ENDPOINT: "http://127.0.0.1:1" }
    const names = ["silero-vad", "supertonic-3"]
    const { code, stderr } = await models(["pull", ...names, "--yes"], { env })
    expect(code).toBe(1)
    for (const name of names) expect(stderr).toContain(`${name}: 127.0.0.1:1 could not be reached`)
    expect(stderr).toEndWith(`Not installed: ${names.join(", ")}.\n`)
  })

  test("a recognizer brings the detector of speech", async () => {
    const { stdout } = await models(["pull", "moonshine-tiny-en"], { env: registry })
    expect(stdout).toContain("silero-vad")
  })

  test("refuses options that contradict each other", async () => {
    for (const args of [["--llm"], ["qwen2.5-1.5b-instruct"]]) {
      const { code, stderr } = await models(["pull", ...args, "--from", newFolder(), "--yes"])
      expect([code, stderr]).toEqual([
        1,
        "Ollama downloads language models itself, and --from has none. Pull them without --from.\n",
      ])
    }
    for (const role of ["--llm", "--stt", "--tts"]) {
      const { code, stderr } = await models(["pull", "--default", role, "--yes"])
      expect([code, stderr]).toEqual([
        1,
        "--default does not work with --stt, --tts or --llm. Leave out one of them.\n",
      ])
    }
  })

  test("asks before it downloads", async () => {
    const { code, stdout, stderr } = await models(["pull", "silero-vad"], { env: registry })
    expect([code, stderr]).toEqual([1, "Nothing was downloaded. Add --yes to accept the licences.\n"])
    expect(stdout).toContain("Silero Team")
  })

  test("a chat model needs Ollama", async () => {
    const { code, stderr } = await models(["pull", "qwen2.5-1.5b-instruct", "--yes"])
    expect(code).toBe(1)
    expect(stderr).toContain("Ollama does not answer at http://127.0.0.1:1.")
  })

  test("Ctrl-C keeps the part", async () => {
    const cwd = newFolder()
    const [source] = vadFile.sources
    if (!("npm" in source)) throw new Error("another source")
    server.script.push((_, answer) => {
      answer.writeHead(200, { "content-length": `${source.npm.size}`, etag: '"1"' })
      answer.write(bytes)
    })
    const command = startProcess({
      args: [mainFile, "models", "pull", "silero-vad", "--yes"],
      cwd,
      env: registry,
    })
    const part = join(cwd, ".data/models/silero-vad", `${vad.version}.part/.packages`)
    const file = join(part, "@livekit+agents-plugin-silero-1.9.0.tgz.download")
    await command.says(/0 %/)
    while (!existsSync(file) || Bun.file(file).size < bytes.length) await Bun.sleep(10)
    command.signal("SIGINT")
    expect(await command.ended).toBe(130)
    expect(Bun.file(file).size).toBe(bytes.length)
  })
})

describe("verify", () => {
  test("finds damage", async () => {
    const cwd = newFolder()
    expect(await models(["verify"], { cwd })).toMatchObject({ code: 0, stdout: "No model is installed.\n" })
    expect(await models(["verify", "silero-vad"], { cwd })).toMatchObject({ code: 1 })
    plant(cwd)
    const { code, stdout } = await models(["verify"], { cwd })
    expect([code, stdout]).toEqual([
      1,
      "silero-vad: The model silero-vad is damaged: silero_vad.onnx has another SHA-256 than it should have. Run: ./voice-agent models pull silero-vad\n",
    ])
    const { stdout: json } = await models(["verify", "--json"], { cwd })
    expect(JSON.parse(json)).toMatchObject({ model: "silero-vad", ok: false, file: "silero_vad.onnx" })
  })
})

test("doctor finds damage", async () => {
  const cwd = newFolder()
  plant(cwd)
  const { stdout } = await runCommand(["doctor", "--json"], {
    cwd,
    env: { OFFLINE_ENGINES: "on", DATABASE_URL: "postgres://127.0.0.1:1/none" },
  })
  const { checks }: { checks: ReadonlyArray<Record<string, string>> } = JSON.parse(stdout)
  expect(checks.filter(({ check }) => check === "model")).toEqual([
    {
      check: "model",
      state: "warning",
      found: "silero-vad is damaged: silero_vad.onnx",
      advice:
        "Repair it with ./voice-agent models pull silero-vad, or delete it with ./voice-agent models remove silero-vad.",
    },
  ])
})

test("verify of a model that does not exist", async () => {
  expect(await models(["verify", "nope"])).toMatchObject({
    code: 1,
    stderr: 'There is no model "nope". ./voice-agent models lists them.\n',
  })
})

describe("remove", () => {
  test("deletes the files", async () => {
    const cwd = newFolder()
    plant(cwd)
    expect(await models(["remove", "silero-vad"], { cwd })).toMatchObject({
      code: 0,
      stdout: "Deleted silero-vad.\n",
    })
    expect(existsSync(join(cwd, ".data/models/silero-vad"))).toBe(false)
    const { code, stdout } = await models(["remove", "silero-vad", "--json"], { cwd })
    expect([code, JSON.parse(stdout)]).toEqual([0, { model: "silero-vad", isRemoved: false }])
    expect(await models(["remove", "qwen2.5-1.5b-instruct"], { cwd })).toMatchObject({ code: 1 })
  })
})
