/** `talk` and `login` as processes, with a running service. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync, statSync } from "node:fs"
import { chmod } from "node:fs/promises"
import { join } from "node:path"
import { Schema } from "effect"
import { runCommand, stopCommands } from "../support/commands.ts"
import { cleanUpProcesses, mainFile, newFolder, withoutOptimizer } from "../support/process.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { DEFAULT_REPLY, DEFAULT_TRANSCRIPT, fail } from "../support/upstream.ts"
import { silence, wavOf } from "../support/wav.ts"

// Without a service, the client's retries take 4 s.
setDefaultTimeout(60_000)

const question = new URL("../../examples/question.wav", import.meta.url).pathname
const followUp = new URL("../../examples/follow-up.wav", import.meta.url).pathname
let service: TurnService
let url: string

beforeAll(async () => {
  service = await startTurns()
  url = service.url.replace("/api/v1", "")
})
afterAll(async () => {
  await service.stop()
  await stopCommands()
  await cleanUpProcesses()
})

interface Options {
  /** The folder of its state. */
  readonly home?: string
  readonly env?: Record<string, string>
}

interface Input extends Options {
  /** Presses Enter after this text on stderr. */
  readonly enterAfter?: string
  /** And not before this file exists. */
  readonly enterWithFile?: string
  /** The whole of its stdin. */
  readonly stdin?: string
}

const run = async (args: ReadonlyArray<string>, { home = newFolder(), env = {} }: Options = {}) => ({
  home,
  ...(await runCommand(args, {
    cwd: home,
    env: { XDG_STATE_HOME: home, VOICE_AGENT_URL: url, ...env },
  })),
})

/** The same as a process of its own. */
const runProcess = async (
  args: ReadonlyArray<string>,
  { home = newFolder(), env = {}, enterAfter, enterWithFile, stdin }: Input = {},
) => {
  const child = Bun.spawn([process.execPath, mainFile, ...args], {
    cwd: home,
    env: {
      PATH: process.env.PATH ?? "",
      XDG_STATE_HOME: home,
      VOICE_AGENT_URL: url,
      ...withoutOptimizer,
      ...env,
    },
    stdin: enterAfter === undefined && stdin === undefined ? "ignore" : "pipe",
    stdout: "pipe",
    stderr: "pipe",
  })
  if (stdin !== undefined) {
    child.stdin?.write(stdin)
    child.stdin?.end()
  }
  const readProblem = async () => {
    let said = ""
    let isEntered = false
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      said += text
      if (isEntered || enterAfter === undefined || !said.includes(enterAfter)) continue
      isEntered = true
      if (enterWithFile !== undefined) await until(() => existsSync(enterWithFile), enterWithFile)
      child.stdin?.write("\n")
      child.stdin?.flush()
    }
    return said
  }
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), readProblem(), child.exited])
  return { code, stdout, stderr, home }
}

const Turn = Schema.parseJson(
  Schema.Struct({
    file: Schema.String,
    sessionId: Schema.UUID,
    turnId: Schema.UUID,
    transcript: Schema.String,
    response: Schema.String,
    timings: Schema.Record({ key: Schema.String, value: Schema.Number }),
    output: Schema.optional(Schema.String),
  }),
)

const turns = async (args: ReadonlyArray<string>, options: Options) => {
  const { code, stdout, stderr } = await run(["talk", ...args, "--json"], options)
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
  return stdout
    .trim()
    .split("\n")
    .map((line) => Schema.decodeSync(Turn)(line))
}

const newEmail = () => `${crypto.randomUUID()}@example.com`

describe("talk", () => {
  test("registers, and continues its session", async () => {
    const home = newFolder()
    const [first] = await turns([question, "--email", newEmail()], { home })
    const [second] = await turns([followUp], { home })
    const [third] = await turns([question, "--new"], { home })
    const [fourth] = await turns([question], { home })
    expect(first).toMatchObject({ transcript: DEFAULT_TRANSCRIPT, response: DEFAULT_REPLY, file: question })
    expect(second?.sessionId).toBe(first?.sessionId ?? "")
    expect(third?.sessionId).not.toBe(first?.sessionId ?? "")
    expect(fourth?.sessionId).toBe(third?.sessionId ?? "")
    // No other user may read the key.
    expect(statSync(join(home, "voice-agent/state.json")).mode & 0o777).toBe(0o600)
    expect((service.upstream.calls("llm")[1]?.request.messages ?? []).length).toBeGreaterThan(2)
  })

  test("continues no session of another key", async () => {
    const home = newFolder()
    const [one, other] = [await service.register(), await service.register()]
    const [first] = await turns([question, "--key", one], { home })
    const [second] = await turns([question, "--key", other], { home })
    const [third] = await turns([followUp], { home, env: { VOICE_AGENT_KEY: other } })
    expect(second?.sessionId).not.toBe(first?.sessionId ?? "")
    expect(third?.sessionId).toBe(second?.sessionId ?? "")
  })

  test("prints the turn live with timings, and saves the audio", async () => {
    const home = newFolder()
    const output = join(home, "answer.mp3")
    const { code, stdout, stderr } = await runProcess(
      ["talk", question, "--email", newEmail(), "-o", output],
      {
        home,
      },
    )
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `You:   ${DEFAULT_TRANSCRIPT}\nReply: ${DEFAULT_REPLY}\n`,
    })
    expect(stderr).toMatch(/^ {2}sending \S+question\.wav \(\d+ KB\)\n {2}heard after \d+\.\d\d s\n/)
    expect(stderr).toMatch(
      /speech recognition took .*\n.*first word .*\n.*first sound .*\n {2}total .*\n {2}saved .*answer\.mp3\n$/,
    )
    expect(Bun.file(output).size).toBeGreaterThan(5000)
  })

  test("a reader that stops early does not end the turn", async () => {
    const output = join(newFolder(), "answer.mp3")
    const talk = `"${process.execPath}" "${mainFile}" talk "${question}" --email ${newEmail()} -o "${output}"`
    const shell = Bun.spawn(["bash", "-c", `${talk} | head -c 3; echo "\${PIPESTATUS[0]}"`], {
      env: { PATH: process.env.PATH ?? "", XDG_STATE_HOME: newFolder(), VOICE_AGENT_URL: url },
      stdout: "pipe",
      stderr: "pipe",
    })
    const [stdout, stderr] = await Promise.all([shell.stdout.text(), shell.stderr.text()])
    expect({ stdout, stderr }).toEqual({ stdout: "You0\n", stderr: expect.not.stringContaining("EPIPE") })
    expect(Bun.file(output).size).toBeGreaterThan(5000)
  })

  test("shows a reply that has nothing to speak", async () => {
    const home = newFolder()
    const output = join(home, "answer.mp3")
    service.upstream.script("llm", [{ text: "👍" }, { text: "👍" }])
    const shown = await run(["talk", question, "--email", newEmail(), "-o", output], { home })
    expect(shown).toMatchObject({ code: 0, stdout: `You:   ${DEFAULT_TRANSCRIPT}\nReply: 👍\n` })
    expect(shown.stderr).toContain("the reply has nothing to speak")
    expect(await Bun.file(output).exists()).toBe(false)
    const [turn] = await turns([question, "-o", output], { home })
    expect(turn).toMatchObject({ response: "👍" })
    expect(turn?.output).toBeUndefined()
  })

  test("several files are turns of one session", async () => {
    const home = newFolder()
    const all = await turns([question, followUp, "--email", newEmail(), "-o", join(home, "a.mp3")], { home })
    expect(new Set(all.map(({ sessionId }) => sessionId)).size).toBe(1)
    expect(all.map(({ output }) => output)).toEqual([join(home, "a.mp3"), join(home, "a-2.mp3")])
    expect(Bun.file(join(home, "a-2.mp3")).size).toBeGreaterThan(5000)
  })

  test("records until Enter, and plays the reply", async () => {
    const home = newFolder()
    const bin = newFolder()
    const programs = {
      // Like sox: the file is the last argument, and is complete after an interrupt.
      rec: [
        "for file; do :; done",
        `trap 'cp "${question}" "$file"; exit 0' INT`,
        `touch "${home}/recording"`,
        "while :; do sleep 0.05; done",
      ].join("\n"),
      ffplay: `cat > "${home}/played"`,
    }
    for (const [name, script] of Object.entries(programs)) {
      await Bun.write(join(bin, name), `#!/bin/sh\n${script}\n`)
      await chmod(join(bin, name), 0o755)
    }
    const { code, stdout } = await runProcess(["talk", "--email", newEmail()], {
      home,
      env: { PATH: `${bin}:${process.env.PATH}` },
      enterAfter: "Press Enter to stop.",
      // An interrupt before the trap would end the shell.
      enterWithFile: join(home, "recording"),
    })
    expect(code).toBe(0)
    expect(stdout).toContain(`You:   ${DEFAULT_TRANSCRIPT}\n`)
    expect(Bun.file(join(home, "played")).size).toBeGreaterThan(5000)
  })

  // The next three run side by side: they wait for seconds, and script no answers of the providers.
  test.concurrent("--live answers a recording as it is spoken, and continues its session", async () => {
    const home = newFolder()
    const shown = await runProcess(["talk", "--live", question, "--email", newEmail()], { home })
    expect(shown).toMatchObject({
      code: 0,
      stdout: `You:   ${DEFAULT_TRANSCRIPT}\nReply: ${DEFAULT_REPLY}\n`,
    })
    const { code, stdout, stderr } = await run(["talk", "--live", followUp, "--json"], { home })
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
    expect(JSON.parse(stdout)).toEqual({
      sessionId: expect.any(String),
      transcript: DEFAULT_TRANSCRIPT,
      response: DEFAULT_REPLY,
      isComplete: true,
    })
    const messages = service.upstream.calls("llm").at(-1)?.request.messages ?? []
    expect(messages.filter(({ role }) => role === "user")).toHaveLength(2)
  })

  test.concurrent("--live: problems in one line", async () => {
    const silent = join(newFolder(), "silent.wav")
    await Bun.write(silent, wavOf(silence(0.2)))
    const nothing = runProcess(["talk", "--live", silent, "--key", await service.register()])
    const output = await run(["talk", "--live", question, "-o", "a.mp3", "--key", await service.register()])
    expect(output).toMatchObject({ code: 1, stderr: expect.stringContaining("--output does not work") })
    const wrong = await run(["talk", "--live", question, "--key", "sk_wrong"])
    expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining("INVALID_API_KEY") })
    // It waits five seconds for words.
    expect(await nothing).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("No speech was heard in"),
    })
  })

  test.concurrent("reports problems in one line", async () => {
    const keyless = await run(["talk", question])
    expect(keyless).toMatchObject({ code: 1, stdout: "" })
    expect(keyless.stderr).toContain("There is no API key for this service: register with --email")
    const silent = await run(["talk", question, "--url", "http://127.0.0.1:1/"])
    expect(silent).toMatchObject({ code: 1, stdout: "" })
    expect(silent.stderr).toContain(
      "Nothing answers at http://127.0.0.1:1. Start the service, or set another",
    )
    const wrong = await run(["talk", question], { env: { VOICE_AGENT_KEY: "sk_wrong" } })
    expect(wrong.code).toBe(1)
    expect(wrong.stderr).toContain("INVALID_API_KEY: ")
    const nowhere = "http://127.0.0.1:1"
    const away = await run(["talk", question, "--url", nowhere, "--key", "sk_any"])
    expect(away.code).toBe(1)
    expect(away.stderr).toContain(`Does it run at ${nowhere}?`)
    const noFile = await run(["talk", "/no/such.wav"])
    expect(noFile).toMatchObject({ code: 2, stdout: "" })
    expect(noFile.stderr).toContain("/no/such.wav")
  })

  test("--live plays the reply, is interrupted, and ends by Enter", async () => {
    service.upstream.script("llm", [{ text: "This is a sentence of a long reply. ".repeat(10) }])
    const home = newFolder()
    const bin = newFolder()
    const speech = `ffmpeg -v error -re -i "${question}" -ac 1 -ar 24000 -f s16le -`
    const pause = (seconds: number) =>
      `ffmpeg -v error -re -f lavfi -i anullsrc=r=24000:cl=mono -t ${seconds} -f s16le -`
    const programs = {
      rec: [speech, pause(2), speech, pause(60)].join("\n"),
      ffplay: `cat >> "${home}/played"`,
    }
    for (const [name, script] of Object.entries(programs)) {
      await Bun.write(join(bin, name), `#!/bin/sh\n${script}\n`)
      await chmod(join(bin, name), 0o755)
    }
    const { code, stdout, stderr } = await runProcess(["talk", "--live", "--email", newEmail()], {
      home,
      env: { PATH: `${bin}:${process.env.PATH}` },
      enterAfter: "interrupted after",
    })
    expect(code).toBe(0)
    expect(stdout).toStartWith(`You:   ${DEFAULT_TRANSCRIPT}\nReply: This is a sentence`)
    expect(stderr).toContain("Wear headphones")
    expect(Bun.file(join(home, "played")).size).toBeGreaterThan(50_000)
  })

  test("--live: a reply that fails ends with exit code 1", async () => {
    const key = await service.register()
    service.upstream.script("llm", [fail.unauthorized(), fail.unauthorized()])
    const [asJson, shown] = await Promise.all([
      run(["talk", "--live", question, "--json", "--key", key]),
      runProcess(["talk", "--live", question, "--key", key]),
    ])
    expect({ code: asJson.code, error: JSON.parse(asJson.stdout) }).toEqual({
      code: 1,
      error: {
        sessionId: expect.any(String),
        transcript: DEFAULT_TRANSCRIPT,
        response: "",
        isComplete: false,
        error: { code: expect.any(String), message: expect.any(String) },
      },
    })
    expect(shown).toMatchObject({ code: 1, stdout: `You:   ${DEFAULT_TRANSCRIPT}\n` })
    expect(shown.stderr).toEndWith("Not every recording was answered.\n")
  })

  test("Ctrl-C also ends the turn on the server", async () => {
    service.upstream.script("llm", [{ ...fail.hang({ tokens: 3 }), text: "One moment, please." }])
    const child = Bun.spawn([process.execPath, mainFile, "talk", question], {
      env: {
        PATH: process.env.PATH ?? "",
        XDG_STATE_HOME: newFolder(),
        VOICE_AGENT_URL: url,
        VOICE_AGENT_KEY: await service.register(),
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
    })
    let said = ""
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      said += text
      if (said.includes("One")) child.kill("SIGINT")
    }
    expect(await child.exited).toBe(130)
    await service.nothingLeft()
  })
})

describe("login", () => {
  test("stores a valid key for talk", async () => {
    const home = newFolder()
    const key = await service.register()
    const { code, stdout } = await run(["login", "--json"], { home, env: { VOICE_AGENT_KEY: key } })
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ url, email: expect.stringContaining("@") })
    expect(await turns([question], { home })).toHaveLength(1)
  })

  test("reads a key from its stdin", async () => {
    const home = newFolder()
    const key = await service.register()
    const { code, stderr } = await runProcess(["login"], { home, stdin: `${key}\n` })
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
    expect(await turns([question], { home })).toHaveLength(1)
  })

  test.each(["", "\n"])("without a terminal and a key, fails at once (stdin: %j)", async (stdin) => {
    const { code, stderr } = await runProcess(["login"], { stdin })
    expect(code).toBe(1)
    expect(stderr).toContain("There is no API key on the standard input. Run login in a terminal")
  })

  test("stores no invalid key", async () => {
    const { code, stderr, home } = await run(["login", "--key", "sk_wrong"])
    expect(code).toBe(1)
    expect(stderr).toContain("INVALID_API_KEY")
    expect(await Bun.file(join(home, "voice-agent/state.json")).exists()).toBe(false)
  })
})
