/** The package of `bun run build:client`, packed and installed as a user does it. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { join } from "node:path"
import { buildClient } from "../../scripts/build-client.ts"
import { cleanUpProcesses, newFolder } from "../support/process.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import { DEFAULT_REPLY } from "../support/upstream.ts"

// npm and tsc, on a machine that may be busy.
setDefaultTimeout(60_000)

const root = new URL("../..", import.meta.url).pathname
let service: TurnService
let project: string

const run = async (command: ReadonlyArray<string>, cwd: string) => {
  const child = Bun.spawn([...command], {
    cwd,
    env: { ...process.env, VOICE_AGENT_URL: service.url },
    stdout: "pipe",
    stderr: "pipe",
  })
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return code === 0 ? stdout.trim() : `${code}: ${stdout}${stderr}`
}

/** One turn from a text, and one of a Realtime conversation, with types that only the package's declarations can give. */
const program = `
import {
  type Client, makeClient, type Realtime, type Timings, type Turn, VoiceAgentError,
} from "voice-agent-client"
declare const process: { readonly env: Readonly<Record<string, string | undefined>> }
const baseUrl = process.env.VOICE_AGENT_URL ?? ""
const { apiKey }: { readonly apiKey: string } =
  await makeClient({ baseUrl }).register(\`\${crypto.randomUUID()}@example.com\`)
const client: Client = makeClient({ baseUrl, apiKey })
let [text, bytes] = ["", 0]
const turn: Turn = await client.converse("Hello.", {
  onText: (more) => { text += more },
  onAudio: (mp3: Uint8Array) => { bytes += mp3.length },
})
const timings: Timings = turn.timings
const failure: unknown = await client.sessions.get(apiKey).catch((error: unknown) => error)
const code = failure instanceof VoiceAgentError && failure.code === "SESSION_NOT_FOUND" && failure.code
const said: string = await new Promise((resolve) => {
  let [words, samples] = ["", 0]
  const realtime: Realtime = client.realtime({
    WebSocket,
    onText: ({ text }) => { words += text },
    onAudio: ({ samples: more }: { readonly samples: Int16Array }) => { samples += more.length },
    onReplyEnd: () => {
      realtime.close()
      resolve(samples > 24_000 ? words : "")
    },
  })
  realtime.say("Hello.")
})
console.log(JSON.stringify([said, text === turn.response && text, bytes > 1000, timings.total > 0, code]))
`
/** Node 20 has no WebSocket. */
const withWebSocket = `
import { WebSocket } from ${JSON.stringify(join(root, "node_modules/ws/wrapper.mjs"))}
globalThis.WebSocket ??= WebSocket
`
const output = JSON.stringify([DEFAULT_REPLY, DEFAULT_REPLY, true, true, "SESSION_NOT_FOUND"])

beforeAll(async () => {
  service = await startTurns()
  project = newFolder()
  const built = join(project, "built")
  await buildClient(built)
  await run(["npm", "pack", "--offline", "--pack-destination", project], built)
  await Bun.write(join(project, "package.json"), JSON.stringify({ type: "module" }))
  await Bun.write(join(project, "main.ts"), program)
  await Bun.write(join(project, "main.js"), new Bun.Transpiler({ loader: "ts" }).transformSync(program))
  await Bun.write(join(project, "ws.mjs"), withWebSocket)
  const tarballs = [...new Bun.Glob("*.tgz").scanSync(project)]
  expect(tarballs).toHaveLength(1)
  await run(["npm", "install", "--offline", "--no-audit", "--no-fund", ...tarballs], project)
})
afterAll(async () => {
  await service?.stop()
  await cleanUpProcesses()
})

test.concurrent.each(["nodenext", "bundler"])("types, moduleResolution %s", async (moduleResolution) => {
  const compilerOptions = {
    module: moduleResolution === "bundler" ? "esnext" : moduleResolution,
    moduleResolution,
    target: "es2022",
    lib: ["es2023", "dom"],
    types: [],
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
  }
  const file = join(project, `tsconfig.${moduleResolution}.json`)
  await Bun.write(file, JSON.stringify({ compilerOptions, files: ["main.ts"] }))
  expect(await run([join(root, "node_modules/.bin/tsc"), "-p", file], project)).toBe("")
})

test.concurrent("a turn under Node", async () => {
  expect(await run(["node", "--import", "./ws.mjs", "main.js"], project)).toBe(output)
})

test.concurrent("a turn under Bun", async () => {
  expect(await run([process.execPath, "main.ts"], project)).toBe(output)
})

test.concurrent("a turn from a bundle for browsers", async () => {
  const outdir = join(project, "bundle")
  const { success } = await Bun.build({
    entrypoints: [join(project, "main.ts")],
    target: "browser",
    minify: true,
    outdir,
  })
  expect(success).toBe(true)
  const bundle = await Bun.file(join(outdir, "main.js")).text()
  expect(bundle).not.toMatch(/\bimport\b|\brequire\(/)
  expect(bundle.length).toBeLessThan(32_000)
  expect(await run(["node", "--import", "./ws.mjs", join(outdir, "main.js")], project)).toBe(output)
})
