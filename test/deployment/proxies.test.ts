/** The proxy configurations of docs/guides/deploying.md are valid, and a turn streams through them. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { join } from "node:path"
import { makeClient } from "../../src/client/client.ts"
import { wav16k } from "../support/audio.ts"
import { makeFakeRealtime } from "../support/fake-realtime.ts"
import { cleanUpProcesses, newFolder } from "../support/process.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { fail } from "../support/upstream.ts"

setDefaultTimeout(60_000)

const read = (path: string) => Bun.file(new URL(`../../docs/guides/${path}`, import.meta.url)).text()
const deploying = await read("deploying.md")
const realtime = await read("realtime.md")
const blockOf = (language: string, page = deploying) =>
  new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "ms").exec(page)?.[1] ?? ""

let service: TurnService
let host: string
const running: Array<Bun.Subprocess> = []

beforeAll(async () => {
  service = await startTurns({ realtime: makeFakeRealtime().layer })
  host = new URL(service.url).host
})
afterAll(async () => {
  for (const proxy of running) proxy.kill()
  await Promise.all(running.map((proxy) => proxy.exited))
  await service.stop()
  await cleanUpProcesses()
})

const freePort = async () => {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() })
  const { port } = server
  await server.stop(true)
  return port
}

const run = (command: ReadonlyArray<string>) => {
  const { exitCode, stderr } = Bun.spawnSync([...command], { stderr: "pipe" })
  return { exitCode, said: exitCode === 0 ? "" : stderr.toString() }
}

const accepted = { exitCode: 0, said: "" }

/** Accepts the self-signed certificate. */
const insecure = (url: string, init: RequestInit) =>
  fetch(url, { ...init, tls: { rejectUnauthorized: false } })

const start = async (command: ReadonlyArray<string>, url: string) => {
  running.push(Bun.spawn([...command], { stdout: "ignore", stderr: "ignore" }))
  await until(
    async () => (await insecure(`${url}/api/v1/health`, {}).catch(() => undefined))?.ok === true,
    `an answer of ${command[0]}`,
  )
}

/** The model stalls after a few words, so they arrive only if the proxy does not buffer. */
const streams = async (url: string) => {
  service.reset()
  service.upstream.script("llm", [
    { ...fail.hang({ tokens: 3 }), text: "One moment, please. This takes a while." },
  ])
  const leaving = new AbortController()
  const client = makeClient({ baseUrl: url, apiKey: await service.register(), fetch: insecure })
  const heard = Promise.withResolvers<string>()
  const turn = client.converse(new Blob([await wav16k()]), {
    signal: leaving.signal,
    onText: heard.resolve,
  })
  turn.catch(heard.reject)
  expect(await heard.promise).toContain("One")
  leaving.abort()
  await turn.catch(() => undefined)
  service.reset()
}

/** A recording of the maximum size is answered by the service, not by the proxy. */
const takesLargeBodies = async (url: string) => {
  const form = new FormData()
  form.append("audio", new Blob([new Uint8Array(25 * 1024 * 1024)]), "zeros")
  const answer = await insecure(`${url}/api/v1/voice/conversation`, {
    method: "POST",
    headers: { authorization: `Bearer ${await service.register()}` },
    body: form,
  })
  expect(await answer.json()).toMatchObject({ error: "INVALID_AUDIO" })
}

/** A Realtime client gets its first event, and its messages arrive. */
const connects = async (url: string) => {
  const key = await service.register()
  const socket = new WebSocket(`${url.replace("http", "ws")}/v1/realtime`, {
    protocols: ["realtime", `openai-insecure-api-key.${key}`],
    tls: { rejectUnauthorized: false },
  })
  const received: Array<string> = []
  socket.onmessage = ({ data }) => received.push(data)
  await until(() => received.length === 1, "the first event")
  expect(received[0]).toContain('"session.created"')
  socket.send(JSON.stringify({ type: "input_audio_buffer.clear" }))
  await until(() => received.length === 2, "the answer")
  expect(service.connections().connections).toBe(1)
  socket.close()
  await until(() => service.connections().connections === 0, "the end")
}

describe.skipIf(Bun.which("nginx") === null)("nginx", () => {
  let url: string

  beforeAll(async () => {
    const folder = newFolder()
    const port = await freePort()
    url = `https://127.0.0.1:${port}`
    const [certificate, key] = [join(folder, "cert.pem"), join(folder, "key.pem")]
    const subject = ["-subj", "/CN=voice.example.com", "-days", "1", "-keyout", key, "-out", certificate]
    expect(run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", ...subject])).toEqual(accepted)
    const server = blockOf("nginx")
      .replace("listen 443 ssl", `listen 127.0.0.1:${port} ssl`)
      .replace("server 127.0.0.1:3000", `server ${host}`)
      .replace(/(ssl_certificate) .*;/, `$1 ${certificate};`)
      .replace(/(ssl_certificate_key) .*;/, `$1 ${key};`)
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
      (each) => `${each}_temp_path ${folder}/${each};`,
    )
    const config = join(folder, "nginx.conf")
    const main = `daemon off; pid ${folder}/pid; error_log ${folder}/error.log; events {}`
    await Bun.write(config, `${main}\nhttp { access_log off; ${temporary.join(" ")}\n${server}\n}\n`)
    expect(run(["nginx", "-t", "-q", "-p", folder, "-c", config])).toEqual(accepted)
    await start(["nginx", "-p", folder, "-c", config], url)
  })

  test("streams a turn's events", () => streams(url))
  test("accepts the largest recording", () => takesLargeBodies(url))
  test("passes WebSocket upgrades", () => connects(url))
})

const caddyfile = await Bun.file(new URL("../../docs/scaling/Caddyfile", import.meta.url)).text()

describe.skipIf(Bun.which("caddy") === null).each([
  [
    "Caddy",
    (url: string) => blockOf("caddy").replace("voice.example.com", url).replace("127.0.0.1:3000", host),
  ],
  [
    "Caddy in front of several processes",
    (url: string) =>
      caddyfile
        .replace("{$SITE::80}", url)
        .replace("name api", "name localhost")
        .replace("port 3000", `port ${new URL(service.url).port}`),
  ],
] as const)("%s", (_, siteAt) => {
  let url: string

  beforeAll(async () => {
    url = `http://127.0.0.1:${await freePort()}`
    const config = join(newFolder(), "Caddyfile")
    await Bun.write(config, `{\n\tadmin off\n}\n${siteAt(url)}`)
    expect(run(["caddy", "validate", "--adapter", "caddyfile", "--config", config])).toEqual(accepted)
    await start(["caddy", "run", "--adapter", "caddyfile", "--config", config], url)
  })

  test("streams a turn's events", () => streams(url))
  test("accepts the largest recording", () => takesLargeBodies(url))
  test("passes WebSocket upgrades", () => connects(url))
})

test.skipIf(Bun.which("caddy") === null)("Caddy on your own machine serves OpenAI's client", async () => {
  const port = await freePort()
  const home = newFolder()
  const config = join(home, "Caddyfile")
  const site = blockOf("caddy", realtime)
    .replace("skip_install_trust", "skip_install_trust\n\tadmin off")
    .replace("localhost:8443", `localhost:${port}`)
    .replace("localhost:3000", host)
  await Bun.write(config, site)
  // Caddy's folder is below HOME, unless the environment names another one.
  const env = { PATH: process.env.PATH, HOME: home }
  running.push(
    Bun.spawn(["caddy", "run", "--config", config], { cwd: home, env, stdout: "ignore", stderr: "ignore" }),
  )
  await until(
    async () => (await insecure(`https://localhost:${port}/api/v1/health`, {}).catch(() => undefined))?.ok,
    "Caddy",
  )
  const script = `
      import OpenAI from "openai"
      import { OpenAIRealtimeWS } from "openai/realtime/ws"
      const client = new OpenAI({ apiKey: process.env.KEY, baseURL: "https://localhost:${port}/v1" })
      const realtime = new OpenAIRealtimeWS({ model: "any" }, client)
      realtime.on("session.created", ({ type }) => { console.log(type); realtime.close() })
      realtime.on("error", ({ message }) => console.log(message))`
  const client = Bun.spawn(["node", "--input-type=module", "-e", script], {
    cwd: new URL("../..", import.meta.url).pathname,
    env: {
      ...env,
      KEY: await service.register(),
      NODE_EXTRA_CA_CERTS: `${home}/.local/share/caddy/pki/authorities/local/root.crt`,
    },
    stdout: "pipe",
    stderr: "pipe",
  })
  expect([await client.stdout.text(), await client.stderr.text()]).toEqual(["session.created\n", ""])
})

test("both have the limits of the service", () => {
  const [nginx, caddy] = [blockOf("nginx"), blockOf("caddy")]
  // 25 MB of audio in a form.
  expect(nginx).toContain("client_max_body_size 26m;")
  expect(caddy).toContain("max_size 26MiB")
  expect(caddyfile).toContain("max_size 26MiB")
  // More than the 90 s that a response may take to its first byte.
  expect(nginx).toContain("proxy_read_timeout 120s;")
  expect(caddy).toContain("response_header_timeout 120s")
  for (const config of [nginx, caddy]) {
    expect(config.split("{").length).toBe(config.split("}").length)
  }
})
