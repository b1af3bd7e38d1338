/** `transcribe` and `say` on the offline engines, which need neither a key nor a database. */
import { afterAll, describe, expect, test } from "bun:test"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { runCommand, stopCommands } from "../support/commands.ts"
import { cleanUpProcesses, newFolder } from "../support/process.ts"

afterAll(async () => {
  await stopCommands()
  await cleanUpProcesses()
})

const question = new URL("../../examples/question.wav", import.meta.url).pathname
const offline = { OFFLINE_ENGINES: "on" }

const run = async (args: ReadonlyArray<string>, env: Record<string, string> = offline, cwd = newFolder()) => {
  const result = await runCommand(args, { env, cwd })
  // Neither command needs a database.
  expect(existsSync(join(cwd, ".data"))).toBe(false)
  return result
}

describe("transcribe", () => {
  test("prints the transcript of a recording", async () => {
    const { code, stdout, stderr } = await run(["transcribe", question])
    expect([code, stderr]).toEqual([0, ""])
    expect(stdout.toLowerCase()).toContain("my name is")
  })

  test("prints JSON with the length", async () => {
    const { code, stdout } = await run(["transcribe", "--json", question])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toEqual({
      file: question,
      text: expect.any(String),
      seconds: expect.any(Number),
    })
  })

  test("reports a wrong file and a failing provider", async () => {
    const text = new URL("../../README.md", import.meta.url).pathname
    const noAudio = await run(["transcribe", text])
    expect(noAudio).toMatchObject({ code: 1, stdout: "" })
    expect(noAudio.stderr).toContain("INVALID_AUDIO: ")
    const away = await run(["transcribe", question], {
      OPENAI_API_KEY: "sk-test",
      OPENAI_BASE_URL: "http://127.0.0.1:1/v1",
    })
    expect(away).toMatchObject({ code: 1, stdout: "" })
    expect(away.stderr).toContain("STT_FAILED: ")
    const missing = await run(["transcribe", "nofile.wav"])
    expect(missing.code).toBe(2)
    expect(missing.stderr).toStartWith("There is no file nofile.wav.\n")
    expect((await run(["transcribe", newFolder()])).stderr).toContain(" is a folder. Name a recording.\n")
  })
})

describe("say", () => {
  test.each(["mp3", "wav", "pcm"])("speaks a text into an .%s", async (ending) => {
    const output = join(newFolder(), `said.${ending}`)
    const { code, stdout } = await run([
      "say",
      "My name is Robert. What is your name?",
      "--output",
      output,
      "--json",
    ])
    expect(code).toBe(0)
    const bytes = Bun.file(output).size
    expect(JSON.parse(stdout)).toEqual({ output, bytes })
    expect(bytes).toBeGreaterThan(5000)
    if (ending === "pcm") return
    const heard = await run(["transcribe", output])
    expect(heard.code).toBe(0)
    expect(heard.stdout.toLowerCase()).toContain("name")
  })

  test("reports invalid arguments", async () => {
    const output = join(newFolder(), "said.ogg")
    const unknown = await run(["say", "Hello.", "--output", output])
    expect(unknown).toMatchObject({ code: 2, stdout: "" })
    expect(unknown.stderr).toContain("must end in .mp3, .wav or .pcm")
    expect((await run(["say", "Hello."])).code).toBe(2)
  })
})
