/** Runs each example against the service. */
import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import type { Browser } from "playwright-core"
import { startBrowser } from "./page/browser.ts"
import { cleanUpProcesses, newFolder } from "./support/process.ts"
import { startTurns, type TurnService } from "./support/turns.ts"
import { DEFAULT_REPLY, DEFAULT_TRANSCRIPT, fail } from "./support/upstream.ts"

// Chromium needs seconds to start on a busy machine.
setDefaultTimeout(60_000)

const root = new URL("..", import.meta.url).pathname
const question = `${root}examples/question.wav`
let service: TurnService
let browser: Browser

beforeAll(async () => {
  service = await startTurns()
  browser = await startBrowser()
})
beforeEach(() => service.reset())
afterAll(async () => {
  await browser?.close()
  await service?.stop()
  await cleanUpProcesses()
})

const run = async (program: ReadonlyArray<string>, env: Record<string, string> = {}) => {
  const child = Bun.spawn([...program], {
    cwd: newFolder(),
    env: { ...process.env, VOICE_AGENT_URL: service.url.replace("/api/v1", ""), ...env },
    stdout: "pipe",
    stderr: "pipe",
  })
  const [said, problem, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { said, problem, code }
}

for (const program of [
  [process.execPath, "talk.ts"],
  ["python3", "talk.py"],
  ["sh", "talk.sh"],
] as const) {
  const [interpreter, file] = program
  test(`examples/${file}`, async () => {
    const answer = `${newFolder()}/answer.mp3`
    const talk = (recording: string, env?: Record<string, string>) =>
      run([interpreter, `${root}examples/${file}`, recording, answer], env)
    const [{ said, problem, code }, refused, missing, away] = await Promise.all([
      talk(question),
      talk(question, { VOICE_AGENT_KEY: "sk_wrong" }),
      talk("no.wav"),
      talk(question, { VOICE_AGENT_URL: "http://127.0.0.1:1" }),
    ])
    expect({ problem, code }).toEqual({ problem: "", code: 0 })
    expect(said).toContain(`You:   ${DEFAULT_TRANSCRIPT}\n`)
    expect(said).toMatch(/session [0-9a-f-]{36}\n$/)
    expect(Bun.file(answer).size).toBeGreaterThan(5000)
    expect(refused.code).not.toBe(0)
    expect(refused.problem).toContain("INVALID_API_KEY")
    expect(missing.code).toBe(1)
    expect(missing.problem).toMatch(/^.*no\.wav.*\n$/)
    expect(away.code).not.toBe(0)
    expect(away.problem.trimEnd().split("\n")).toHaveLength(1)
  })
}

describe("examples/realtime.mjs", () => {
  const program = ["node", `${root}examples/realtime.mjs`]

  /** Of a WAV at 24 kHz. */
  const secondsOf = (path: string) => (Bun.file(path).size - 44) / 48_000
  const spoken = () =>
    service.upstream.calls("tts").reduce((sum, { spoken }) => sum + (spoken?.samples ?? 0) / 24_000, 0)

  // Half a second for each sentence of the usual reply: the example plays in real time.
  const isUsual = (sentence: string) => DEFAULT_REPLY.includes(sentence.trim())
  beforeEach(() => service.upstream.default("tts", ({ input }) => (isUsual(input) ? { seconds: 0.5 } : {})))

  test("one turn", async () => {
    const answer = `${newFolder()}/answer.wav`
    const { said, problem, code } = await run([...program, question, answer])
    expect({ problem, code }).toEqual({ problem: "", code: 0 })
    expect(said.split("\n").slice(0, 2)).toEqual([`You:   ${DEFAULT_TRANSCRIPT}`, `Reply: ${DEFAULT_REPLY}`])
    expect(said).toMatch(/answer\.wav: \d\.\d s; session [0-9a-f-]{36}\n$/)
    expect(Math.abs(secondsOf(answer) - spoken())).toBeLessThan(0.05)
    const [call] = service.upstream.calls("stt")
    // 2.2 s of speech at 16 kHz, and the silence around it.
    expect((call?.request.file.bytes.length ?? 0) / 32_000).toBeWithin(2, 4)
  })

  test("an interruption", async () => {
    service.upstream.script("llm", [{ text: "This is a sentence of a long reply. ".repeat(10) }])
    const answer = `${newFolder()}/answer.wav`
    const { said, problem, code } = await run([...program, question, answer, `${root}examples/follow-up.wav`])
    expect({ problem, code }).toEqual({ problem: "", code: 0 })
    const playedMs = Number(/^\(Interrupted after (\d+) ms\.\)$/m.exec(said)?.[1])
    expect(playedMs).toBeGreaterThan(600)
    expect(said.match(/^You: .*$/gm)).toHaveLength(2)
    expect(said.match(/^Reply: .*$/gm)).toHaveLength(2)
    const [, second] = service.upstream.calls("llm")
    const [, , cut = ""] = second?.request.messages.map(({ content }) => `${content}`) ?? []
    expect(cut).toStartWith("This is a sentence")
    expect(cut.length).toBeLessThan(300)
    // The reply as it was heard, and the whole second one.
    const replySeconds = service.upstream.calls("tts").at(-1)?.spoken?.samples ?? 0
    expect(secondsOf(answer)).toBeGreaterThan(playedMs / 1000 + replySeconds / 24_000)
    expect(secondsOf(answer)).toBeLessThan(spoken())
  })

  test("errors in one line", async () => {
    const unreachable = (key: string) => ({
      VOICE_AGENT_URL: "http://127.0.0.1:1",
      ...(key === "" ? {} : { VOICE_AGENT_KEY: key }),
    })
    service.upstream.default("llm", fail.badRequest())
    const [failed, refused, missing, text, ...unanswered] = await Promise.all([
      run([...program, question]),
      run([...program, question], { VOICE_AGENT_KEY: "sk_wrong" }),
      run([...program, "no.wav"]),
      run([...program, `${root}package.json`]),
      run([...program, question], unreachable("")),
      run([...program, question], unreachable("sk_any")),
    ])
    expect(refused).toMatchObject({ code: 1, problem: expect.stringMatching(/^INVALID_API_KEY: .*\n$/) })
    for (const away of unanswered) {
      expect(away).toMatchObject({
        code: 1,
        problem: expect.stringMatching(/cannot be reached: (?!undefined).+\n$/),
      })
    }
    expect(missing).toMatchObject({ code: 1, problem: "There is no file no.wav.\n" })
    expect(text).toMatchObject({ code: 1, problem: expect.stringMatching(/cannot be decoded\.\n$/) })
    expect(failed).toMatchObject({
      code: 1,
      problem: expect.stringMatching(/^provider_refused_request: .*\n$/),
    })
  })
})

test("examples/browser.html, from another origin", async () => {
  const html = Bun.file(`${root}examples/browser.html`)
  const elsewhere = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(html) })
  const page = await browser.newPage()
  await page.goto(elsewhere.url.href)
  await page.getByLabel("Service").fill(service.url.replace("/api/v1", ""))
  await page.getByLabel("Recording").setInputFiles(question)
  await page.locator("#said", { hasText: DEFAULT_TRANSCRIPT }).waitFor()
  await page.locator("#reply", { hasText: DEFAULT_REPLY }).waitFor()
  await page.locator("audio[src^=blob]").waitFor()
  await page.close()
  await elsewhere.stop(true)
})

test("/client.js under Node", async () => {
  const module = `${newFolder()}/client.mjs`
  await Bun.write(module, await fetch(service.url.replace("/api/v1", "/client.js")))
  const script = `
    import { readFileSync } from "node:fs"
    import { makeClient } from ${JSON.stringify(module)}
    const baseUrl = process.env.VOICE_AGENT_URL
    const { apiKey } = await makeClient({ baseUrl }).register("node@example.com")
    let bytes = 0
    const recording = new Blob([readFileSync(${JSON.stringify(question)})])
    const turn = await makeClient({ baseUrl, apiKey }).converse(recording, { onAudio: (each) => { bytes += each.length } })
    console.log(turn.response, bytes > 5000)`
  const { said, problem, code } = await run(["node", "--input-type=module", "-e", script])
  expect({ said, problem, code }).toEqual({ said: `${DEFAULT_REPLY} true\n`, problem: "", code: 0 })
})
