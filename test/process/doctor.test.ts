/** `doctor` without problems, and with each problem. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { chmodSync, cpSync, existsSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import { Option, Schema } from "effect"
import { runCommand, runProcess, stopCommands } from "../support/commands.ts"
import { makeDatabase, makeEmptyDatabase, type TestDatabase } from "../support/database.ts"
import { hasRecognizer, recognizer } from "../support/offline-models.ts"
import { listOf, startOllama } from "../support/ollama.ts"
import { cleanUpProcesses, newFolder, startProcess } from "../support/process.ts"

let database: TestDatabase

/** A server with a list of models only. Records its requests. */
const allWell = () => Response.json({ data: ["whisper-1", "gpt-3.5-turbo", "tts-1"].map((id) => ({ id })) })
let answer: () => Response = allWell
let asked: Array<string> = []
const provider = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch: ({ method, url, headers }) => {
    const { pathname, search } = new URL(url)
    asked.push(
      [method, `${pathname}${search}`, headers.get("authorization"), headers.get("api-key") ?? ""]
        .join(" ")
        .trim(),
    )
    return answer()
  },
})
const baseUrl = `${provider.url.href}v1`

const migrate = async (url: string) => {
  expect(await runCommand(["migrate"], { env: { DATABASE_URL: url } })).toMatchObject({ code: 0 })
}

beforeAll(async () => {
  database = await makeDatabase()
})
afterEach(() => {
  answer = allWell
  asked = []
})
afterAll(async () => {
  await stopCommands()
  await cleanUpProcesses()
  await database.drop()
  await provider.stop(true)
})

const Report = Schema.parseJson(
  Schema.Struct({
    ok: Schema.Boolean,
    checks: Schema.Array(
      Schema.Struct({
        check: Schema.String,
        state: Schema.Literal("ok", "warning", "problem"),
        found: Schema.String,
        advice: Schema.optional(Schema.String),
      }),
    ),
  }),
)

interface Place {
  readonly env?: Record<string, string>
  readonly cwd?: string
}

const onProvider = () => ({ DATABASE_URL: database.url, OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: baseUrl })

const doctor = async ({ env = {}, ...place }: Place = {}) => {
  // Bun looks for programs in the PATH that its process started with.
  const run = env.PATH === undefined ? runCommand : runProcess
  const { code, stdout, stderr } = await run(["doctor", "--json"], {
    env: { ...onProvider(), ...env },
    ...place,
  })
  expect(stderr).toBe("")
  const { ok, checks: all } = Schema.decodeSync(Report)(stdout)
  // It depends on this checkout whether a model is installed, but not for the test about that.
  const checks = all.filter(({ check }) => check !== "vad")
  const vad = all.find(({ check }) => check === "vad")
  expect(code).toBe(ok ? 0 : 1)
  // Every problem has advice.
  expect(checks.filter(({ state, advice }) => (state === "ok") !== (advice === undefined))).toEqual([])
  return { ok, checks, vad, states: Object.fromEntries(checks.map(({ check, state }) => [check, state])) }
}

/** Runs doctor and returns its problems and warnings. */
const complaints = async (place: Place) => {
  const { ok, checks } = await doctor(place)
  return {
    ok,
    said: checks
      .filter(({ state }) => state !== "ok")
      .map(({ check, state, found }) => ({ check, state, found })),
  }
}

const problem = (check: string, found: RegExp) => ({
  ok: false,
  said: [{ check, state: "problem" as const, found: expect.stringMatching(found) }],
})

describe("doctor", () => {
  test("finds no problem, and only lists the providers' models", async () => {
    const { ok, states } = await doctor()
    expect(ok).toBe(true)
    expect(states).toEqual({
      ffmpeg: "ok",
      database: "ok",
      stt: "ok",
      llm: "ok",
      tts: "ok",
      TMPDIR: "ok",
      DATA_DIR: "ok",
      port: "ok",
      clock: "ok",
    })
    expect(asked).toEqual(Array(3).fill("GET /v1/models Bearer sk-test"))
  })

  test("prints problems with advice", async () => {
    const { code, stdout } = await runProcess(["doctor"], {
      env: { ...onProvider(), FFMPEG_PATH: "/no/ffmpeg" },
    })
    expect(code).toBe(1)
    expect(stdout).toMatch(/^problem {2}ffmpeg {7}there is no "\/no\/ffmpeg"\n {22}Install it \(/m)
    expect(stdout).toMatch(/^ok {7}database {5}PostgreSQL \d+\S* at \S+, schema up to date$/m)
    expect(stdout).not.toContain("\u001b")
  })

  test("warns of a limit without prices", async () => {
    expect(await complaints({ env: { MONTHLY_LIMIT: "5" } })).toEqual({
      ok: true,
      said: [
        {
          check: "prices",
          state: "warning",
          found: "no price for whisper-1 (stt), gpt-3.5-turbo (llm), tts-1 (tts)",
        },
      ],
    })
  })

  test("warns of a lost key, and of costs in another currency", async () => {
    const [user] = await database.sql`insert into users (email) values ('a@example.com') returning id`
    await database.sql`insert into secrets (user_id, name, value) values (${user.id}, 'A', 'v1.0123456789abcdef.AAAA')`
    await database.sql`insert into usage_days (user_id, day, currency, turns, unpriced, audio_seconds, input_tokens,
        output_tokens, characters_spoken, cost_nanos)
      values (${user.id}, (now() at time zone 'UTC')::date, 'EUR', 1, 0, 1, 1, 1, 1, 5)`
    const models = {
      "whisper-1": { perAudioMinute: 0 },
      "gpt-3.5-turbo": { perMillionInputTokens: 0, perMillionOutputTokens: 0 },
      "tts-1": { perMillionCharacters: 0 },
    }
    const { said } = await complaints({ env: { MONTHLY_LIMIT: "5", PRICES: JSON.stringify({ models }) } })
    const lost = {
      check: "encryption",
      state: "warning" as const,
      found: expect.stringMatching(/^the key of 1 stored secret /),
    }
    expect(said).toEqual([{ check: "limits", state: "warning", found: "this month has costs in EUR" }, lost])
    expect((await complaints({})).said).toEqual([lost])
    await database.sql`delete from usage_days`
    await database.sql`delete from users`
  })

  test("warns of missing programs of MCP servers", async () => {
    const servers = { files: { command: "no-such-program", args: ["hush"] }, there: { command: "sh" } }
    const { said } = await complaints({ env: { MCP_STDIO_SERVERS: JSON.stringify(servers) } })
    const found = 'there is no program "no-such-program" for the MCP server "files"'
    expect(said).toEqual([{ check: "mcp", state: "warning", found }])
  })

  test("reports only the invalid settings", async () => {
    expect(await complaints({ env: { PORT: "http" } })).toEqual(problem("settings", /PORT must be .*"http"/))
  })

  test.each([
    ["/no/ffmpeg", /there is no/],
    [Bun.which("true") ?? "true", /does not run here: it does not print its version/],
  ])("ffmpeg that is %s", async (FFMPEG_PATH, found) => {
    expect(await complaints({ env: { FFMPEG_PATH } })).toEqual(problem("ffmpeg", found))
  })

  test("ffmpeg that cannot be limited", async () => {
    const bin = newFolder()
    symlinkSync(Bun.which("ffmpeg") ?? "", join(bin, "ffmpeg"))
    await Bun.write(
      join(bin, "prlimit"),
      "#!/bin/sh\necho 'failed to set the DATA resource limit' >&2; exit 1\n",
    )
    chmodSync(join(bin, "prlimit"), 0o755)
    expect(await complaints({ env: { PATH: bin } })).toEqual(
      problem("ffmpeg", /"ffmpeg" does not run here: failed to set the DATA/),
    )
  })

  test("ffmpeg without limits", async () => {
    const bin = newFolder()
    symlinkSync(Bun.which("ffmpeg") ?? "", join(bin, "ffmpeg"))
    expect(await complaints({ env: { PATH: bin } })).toEqual({
      ok: true,
      said: [{ check: "ffmpeg", state: "warning", found: expect.stringContaining("no prlimit") }],
    })
  })

  test("an unreachable or missing database, without the password", async () => {
    const [away, name] = [new URL(database.url), new URL(database.url)]
    Object.assign(away, { hostname: "127.0.0.1", port: "1", password: "hush" })
    name.pathname = "/nowhere"
    const isAway = await complaints({ env: { DATABASE_URL: away.href } })
    expect(isAway).toEqual(problem("database", /^127\.0\.0\.1:1\/.*ECONNREFUSED/))
    expect(JSON.stringify(isAway)).not.toContain("hush")
    expect(await complaints({ env: { DATABASE_URL: name.href } })).toEqual(
      problem("database", /"nowhere" does not exist/),
    )
  })

  test("an older or newer schema", async () => {
    const other = await makeEmptyDatabase()
    const env = { DATABASE_URL: other.url }
    const older = await complaints({ env })
    expect(older).toMatchObject({ ok: true, said: [{ check: "database", state: "warning" }] })
    expect(older.said[0]?.found).toContain("lacks 0001_initial_schema")
    await migrate(other.url)
    expect(await complaints({ env })).toEqual({ ok: true, said: [] })
    await other.sql`insert into schema_migrations (migration_id, name) values (9999, 'later')`
    expect((await complaints({ env })).said[0]?.found).toContain("newer than this service")
    await other.drop()
  })

  test("the embedded database is read, not created", async () => {
    const cwd = newFolder()
    const env = { DATABASE_URL: "" }
    const before = await doctor({ env, cwd })
    expect(before.checks.find(({ check }) => check === "database")?.found).toContain(
      "created at the first start",
    )
    expect(before.states).toMatchObject({ database: "ok", DATA_DIR: "ok" })
    const folders = before.checks.filter(({ check }) => check === "DATA_DIR").map(({ found }) => found)
    const data = join(cwd, ".data")
    // For root, the database is in a folder of its own.
    expect(folders).toEqual(
      process.getuid?.() === 0
        ? [
            expect.stringMatching(/^\/var\/lib\/voice-agent\/\S+ \(database, will be created\), /),
            expect.stringContaining(`${data} (models, will be created), `),
          ]
        : [expect.stringContaining(`${data} (database and models, will be created), `)],
    )
    expect(existsSync(data)).toBe(false)
    const service = startProcess({ env: { OPENAI_API_KEY: "sk-test" }, cwd })
    const { port } = new URL(await service.url())
    const meanwhile = await doctor({ env: { ...env, PORT: port }, cwd })
    expect(meanwhile.ok).toBe(true)
    const found = (name: string) => meanwhile.checks.find(({ check }) => check === name)?.found
    expect(found("database")).toContain("embedded, schema up to date")
    expect(found("port")).toContain("the service runs there")
    service.signal("SIGTERM")
    expect(await service.ended).toBe(0)
    expect((await doctor({ env, cwd })).states.database).toBe("ok")
  })

  test("a rejected key", async () => {
    answer = () => Response.json({ error: { message: "no" } }, { status: 401 })
    const { ok, said } = await complaints({})
    expect(ok).toBe(false)
    expect(said.map(({ check, state }) => `${check} ${state}`)).toEqual([
      "stt problem",
      "llm problem",
      "tts problem",
    ])
    expect(said[0]?.found).toContain("refuses the key (401)")
  })

  test("an unreachable provider; a fallback is a warning", async () => {
    const away = "http://127.0.0.1:1/v1"
    expect(await complaints({ env: { LLM_BASE_URL: away } })).toEqual(
      problem("llm", /^127\.0\.0\.1:1 refused the connection$/),
    )
    const advice = async (env: Record<string, string>) =>
      (await doctor({ env })).checks.find(({ check }) => check === "llm")?.advice
    expect(await advice({ LLM_BASE_URL: away })).toBe("Start the server there, or correct LLM_BASE_URL.")
    expect(await advice({ OPENAI_BASE_URL: away })).toBe(
      "Start the server there, or correct OPENAI_BASE_URL.",
    )
    expect(await advice({ LLM_BASE_URL: "http://none.invalid/v1" })).toBe(
      "Check the network and LLM_BASE_URL.",
    )
    expect(await complaints({ env: { LLM_FALLBACK_BASE_URL: away } })).toMatchObject({
      ok: true,
      said: [{ check: "llm fallback", state: "warning" }],
    })
  })

  test("a model that is not listed, and a wrong server", async () => {
    expect(await complaints({ env: { TTS_MODEL: "tts-9" } })).toMatchObject({
      ok: true,
      said: [
        { check: "tts", state: "warning", found: expect.stringContaining('does not list the model "tts-9"') },
      ],
    })
    answer = () => new Response("<html>")
    expect((await complaints({})).said[0]?.found).toContain("answers with no list of models")
    answer = () => new Response("", { status: 404 })
    expect(await complaints({})).toEqual({ ok: true, said: [] })
    const { checks } = await doctor({ env: { OPENAI_BASE_URL: provider.url.href } })
    expect(checks.filter(({ state }) => state !== "ok")).toEqual(
      ["stt", "llm", "tts"].map((check) => ({
        check,
        state: "warning",
        found: `${provider.url.host} answers, but not at /models (404)`,
        advice: "Check the path of OPENAI_BASE_URL. Most servers expect it to end in /v1.",
      })),
    )
  })

  test.each([
    ["a model", allWell, /^Check LLM_FALLBACK_MODEL\./],
    ["a path", () => new Response("<html>"), /^Check the path of LLM_FALLBACK_BASE_URL\./],
    ["a key", () => new Response("", { status: 403 }), /^Set LLM_FALLBACK_API_KEY to /],
  ])("the variable of a fallback: %s", async (_, wrong, advice) => {
    answer = wrong
    const { checks } = await doctor({ env: { LLM_FALLBACK_BASE_URL: baseUrl, LLM_FALLBACK_MODEL: "fb" } })
    expect(checks.find(({ check }) => check === "llm fallback")?.advice).toMatch(advice)
  })

  test.each([
    ["Ollama's own", { models: [{ name: "llama3.2:latest", size: 1 }] }],
    ["Gemini's prefix", { data: [{ id: "models/llama3.2" }] }],
    ["a bare list", [{ id: "llama3.2" }]],
    ["bare names", { data: ["llama3.2"] }],
    ["LM Studio's own", { models: [{ key: "llama3.2", type: "llm" }] }],
    ["no list", { status: "ok" }],
  ])("models in other shapes: %s", async (_, list) => {
    answer = () => Response.json(list)
    const env = { STT_MODEL: "llama3.2", LLM_MODEL: "llama3.2", TTS_MODEL: "llama3.2" }
    expect(await complaints({ env })).toEqual({ ok: true, said: [] })
  })

  test("a server without a model", async () => {
    answer = () => Response.json({ object: "list", data: null })
    expect((await complaints({})).said[0]?.found).toContain('does not list the model "whisper-1"')
  })

  test("a base URL with a query, and a header for the key", async () => {
    const env = {
      LLM_BASE_URL: `${provider.url.href}openai/deployments/gpt?api-version=2024-10-21`,
      LLM_API_KEY: "sk-azure",
      LLM_MODEL: "gpt",
    }
    expect(await complaints({ env })).toEqual({ ok: true, said: [] })
    expect(asked).toContain("GET /openai/models?api-version=2024-10-21  sk-azure")
  })

  test("what the service learned about a server", async () => {
    const learn = (stage: string, server: string, parameter: string, value: string, instead: string | null) =>
      database.sql`insert into provider_lessons (stage, server, model, parameter, value, instead)
        values (${stage}, ${server}, 'gpt-3.5-turbo', ${parameter}, ${value}, ${instead})`
    await learn("llm", baseUrl, "max_tokens", "500", "max_completion_tokens")
    await learn("llm", baseUrl, "temperature", "0.7", null)
    await learn("llm", baseUrl, "system_role", '"system"', "user")
    await learn("llm", "https://other.example/v1", "stream_options", "{}", null)
    await learn("stt", baseUrl, "language", '"de"', null)
    const { checks } = await doctor()
    await database.sql`delete from provider_lessons`
    const found = checks.find(({ check }) => check === "llm")?.found
    expect(found).toMatch(
      /^gpt-3\.5-turbo at 127\.0\.0\.1:\d+, \d+ ms; learned: max_completion_tokens instead of max_tokens; no temperature; system_role "user" instead of "system"$/,
    )
    expect(checks.find(({ check }) => check === "stt")?.found).not.toContain("learned")
  })

  test("the offline engines without their programs", async () => {
    const bin = newFolder()
    symlinkSync(Bun.which("ffmpeg") ?? "", join(bin, "ffmpeg"))
    const env = { OPENAI_API_KEY: "", OPENAI_BASE_URL: "", OFFLINE_ENGINES: "on", PATH: bin }
    const { ok, states } = await doctor({ env })
    expect(ok).toBe(true)
    expect(states).toMatchObject({
      engines: "warning",
      hearing: "warning",
      flite: "warning",
      "espeak-ng": "warning",
      pocketsphinx: "warning",
    })
    expect((await doctor({ env: { ...env, PATH: process.env.PATH ?? "" } })).states).toMatchObject({
      "espeak-ng": "ok",
      pocketsphinx: "ok",
    })
  })

  test("Silero that is not installed", async () => {
    const { ok, vad } = await doctor({ env: { DATA_DIR: newFolder() } })
    expect(ok).toBe(true)
    expect(vad).toMatchObject({
      state: "warning",
      advice: "The model silero-vad is not installed. Run: ./voice-agent models pull silero-vad",
    })
  })

  test("an Ollama that does not answer, and advice for the offline stages alone", async () => {
    const env = { OPENAI_API_KEY: "", OPENAI_BASE_URL: "", OFFLINE_ENGINES: "on", OLLAMA: "on" }
    const of = async (more: Record<string, string>, name: string) =>
      (await doctor({ env: { ...env, ...more } })).checks.find(({ check }) => check === name)
    expect(await of({ OLLAMA_HOST: "127.0.0.1:1" }, "ollama")).toEqual({
      check: "ollama",
      state: "warning",
      found: "127.0.0.1:1 does not answer; the talker answers",
      advice: "Start Ollama with ollama serve, or correct OLLAMA_HOST.",
    })
    const ollama = startOllama()
    expect(await of({ OLLAMA_HOST: ollama.url }, "ollama")).toMatchObject({
      state: "ok",
      found: `llama3.2:3b at ${new URL(ollama.url).host}`,
    })
    ollama.tags = () => listOf("nomic-embed-text:latest")
    expect(await of({ OLLAMA_HOST: ollama.url }, "ollama")).toMatchObject({
      state: "warning",
      advice: "Run: ./voice-agent models pull --llm",
    })
    await ollama.stop()
    expect((await of({ OLLAMA: "off" }, "llm"))?.advice).toContain("remove OLLAMA=off")
    const llm = { LLM_BASE_URL: baseUrl, OLLAMA_HOST: "127.0.0.1:1" }
    expect(await of(llm, "ollama")).toBeUndefined()
    expect(await of(llm, "engines")).toMatchObject({
      found: "stt, tts on the offline engines",
      advice: "They are for trying the service. For OpenAI's engines, set OPENAI_API_KEY.",
    })
  })

  test.skipIf(!hasRecognizer)(
    "the recognizer, a damaged one, and a language that it does not know",
    async () => {
      const data = newFolder()
      const paths = Object.values(Option.getOrThrow(recognizer).engine.files)
      // A path ends in NAME/VERSION/FILE.
      const copyOf = (path: string) => join(data, "models", ...path.split("/").slice(-3))
      for (const path of paths) cpSync(path, copyOf(path))
      const env = { OPENAI_API_KEY: "", OPENAI_BASE_URL: "", OFFLINE_ENGINES: "on", DATA_DIR: data }
      const hearing = async (more = {}) =>
        (await doctor({ env: { ...env, ...more } })).checks.find(({ check }) => check === "hearing")
      expect(await hearing()).toMatchObject({
        state: "ok",
        found: "moonshine-tiny-en, English only, in a process of its own",
      })
      expect(await hearing({ STT_LANGUAGE: "de" })).toMatchObject({
        state: "problem",
        found: expect.stringContaining('STT_LANGUAGE is "de"'),
      })
      expect(await hearing({ STT_LANGUAGE: "en-GB" })).toMatchObject({ state: "ok" })
      const encoder = copyOf(paths[0] ?? "")
      const bytes = await Bun.file(encoder).bytes()
      await Bun.write(encoder, bytes.fill(0, 1000, 2000))
      expect(await hearing()).toMatchObject({
        state: "warning",
        found: expect.stringContaining("damaged"),
      })
    },
  )

  test("folders that cannot be written", async () => {
    const file = join(newFolder(), "file")
    await Bun.write(file, "a file, where a folder should be")
    expect(await complaints({ env: { TMPDIR: join(file, "..", "none") } })).toEqual(
      problem("TMPDIR", /none cannot be written to/),
    )
    expect(await complaints({ env: { LOG_DIR: file } })).toEqual(problem("LOG_DIR", /is a file/))
    // Without the embedded database, only models are written there.
    const { ok, checks } = await doctor({ env: { DATA_DIR: file } })
    expect([ok, checks.find(({ check }) => check === "DATA_DIR")?.found]).toEqual([
      true,
      `${file} cannot be written to: ${file} is a file; models cannot be installed there`,
    ])
    expect(await complaints({ env: { DATABASE_URL: "", DATA_DIR: "/proc/none" } })).toMatchObject({
      ok: process.getuid?.() === 0,
    })
    const fresh = await doctor({ env: { LOG_DIR: join(newFolder(), "a/b") } })
    expect(fresh.states.LOG_DIR).toBe("ok")
  })

  test("a port in use", async () => {
    const { port } = provider
    expect(await complaints({ env: { PORT: `${port}` } })).toEqual(problem("port", /could not be opened/))
  })

  test("a clock that is an hour late", async () => {
    const date = new Date(Date.now() + 3_600_000).toUTCString()
    answer = () => new Response(allWell().body, { headers: { date } })
    expect(await complaints({})).toMatchObject({ ok: true, said: [{ check: "clock", state: "warning" }] })
  })
})
