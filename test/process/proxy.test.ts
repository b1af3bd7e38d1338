/** Proxies and private CAs between the service and its providers. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { Schema } from "effect"
import { wav16k } from "../support/audio.ts"
import { selfSigned, signedBy } from "../support/certificates.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { startForwardProxy, startTlsEnd } from "../support/forward-proxy.ts"
import { cleanUpProcesses, mainFile, newFolder, startProcess } from "../support/process.ts"
import { startUpstream, type Upstream } from "../support/upstream.ts"

let database: TestDatabase
let upstream: Upstream
let caFile = ""
let tls: Awaited<ReturnType<typeof startTlsEnd>>
/** Answers every request, on every address of this machine. */
const local = Bun.serve({
  hostname: "::",
  port: 0,
  fetch: ({ url }) => {
    asked.push(new URL(url).pathname)
    return Response.json({ data: ["whisper-1", "gpt-3.5-turbo", "tts-1"].map((id) => ({ id })) })
  },
})
let asked: Array<string> = []

beforeAll(async () => {
  const folder = newFolder()
  database = await makeDatabase()
  upstream = await startUpstream()
  const ca = await selfSigned(folder, "ca")
  caFile = ca.certificate
  const host = "DNS:provider.example.test,DNS:localhost"
  tls = await startTlsEnd(
    Number(new URL(upstream.baseUrl).port),
    await signedBy(folder, ca, { name: "provider", host }),
  )
})
afterAll(async () => {
  tls.stop()
  await local.stop(true)
  await upstream.stop()
  await cleanUpProcesses()
  await database.drop()
})

const Opened = Schema.Struct({ sessionId: Schema.String })
const Registered = Schema.Struct({ apiKey: Schema.String })

interface Asking {
  readonly url: string
  readonly headers: Record<string, string>
}

const sayRecording = async ({ url, headers }: Asking) => {
  const form = new FormData()
  form.append("audio", new Blob([await wav16k()]), "recording.wav")
  return fetch(`${url}/voice/conversation`, { method: "POST", headers, body: form })
}

const sayText = async ({ url, headers }: Asking) => {
  const opened = await fetch(`${url}/sessions`, { method: "POST", headers })
  const { sessionId } = Schema.decodeUnknownSync(Opened)(await opened.json())
  return fetch(`${url}/sessions/${sessionId}/messages`, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ text: "Hello" }),
  })
}

/** One turn of a service with this environment; its status. */
const turn = async (env: Record<string, string>, say = sayRecording) => {
  const service = startProcess({
    env: { DATABASE_URL: database.url, OPENAI_API_KEY: "sk-test", ...env },
  })
  const url = `${await service.url()}/api/v1`
  const registered = await fetch(`${url}/users/register`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ email: `${crypto.randomUUID()}@example.com` }),
  })
  const { apiKey } = Schema.decodeUnknownSync(Registered)(await registered.json())
  const answer = await say({
    url,
    headers: { authorization: `Bearer ${apiKey}`, accept: "application/json" },
  })
  await answer.arrayBuffer()
  service.signal("SIGTERM")
  expect(await service.ended).toBe(0)
  return answer.status
}

describe("with a proxy for everything", () => {
  test.each([[{}], [{ NO_PROXY: "" }], [{ NO_PROXY: "example.com" }], [{ no_proxy: "example.com" }]])(
    "and %j, every name of this machine is reached directly",
    async (noProxy) => {
      const proxy = await startForwardProxy()
      asked = []
      // One doctor asks at every name.
      const at = (host: string) => `http://${host}:${local.port}/${host.replaceAll(/\W/g, "-")}/v1`
      const urls = {
        STT_BASE_URL: at("localhost"),
        LLM_BASE_URL: at("127.0.0.1"),
        TTS_BASE_URL: at("127.1.2.3"),
        STT_FALLBACK_BASE_URL: at("[::1]"),
        LLM_FALLBACK_BASE_URL: at("0.0.0.0"),
      }
      const doctor = startProcess({
        args: [mainFile, "doctor", "--json"],
        env: {
          DATABASE_URL: database.url,
          OPENAI_API_KEY: "sk-test",
          ...urls,
          HTTP_PROXY: proxy.url,
          HTTPS_PROXY: proxy.url,
          ...noProxy,
        },
      })
      await doctor.ended
      expect(asked.toSorted()).toEqual(
        Object.values(urls)
          .map((url) => `${new URL(url).pathname}/models`)
          .toSorted(),
      )
      expect(proxy.requests()).toEqual([])
      proxy.stop()
    },
  )

  test("a turn and its traces stay on this machine", async () => {
    const proxy = await startForwardProxy()
    asked = []
    const status = await turn({
      OPENAI_BASE_URL: upstream.baseUrl,
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://localhost:${local.port}`,
      HTTP_PROXY: proxy.url,
      http_proxy: proxy.url,
    })
    expect(status).toBe(200)
    expect(asked).toContain("/v1/traces")
    expect(proxy.requests()).toEqual([])
    proxy.stop()
  })

  test("the offline engines stay on this machine", async () => {
    const proxy = await startForwardProxy()
    const env = { OPENAI_API_KEY: "", OFFLINE_ENGINES: "on", HTTP_PROXY: proxy.url }
    expect(await turn(env, sayText)).toBe(200)
    expect(proxy.requests()).toEqual([])
    proxy.stop()
  })
})

describe("a provider behind a proxy, with a private CA", () => {
  const env = () => ({ OPENAI_BASE_URL: "https://provider.example.test/v1", STT_TIMEOUT_SECONDS: "5" })

  test("HTTPS_PROXY and NODE_EXTRA_CA_CERTS: it is reached", async () => {
    const proxy = await startForwardProxy(tls.port)
    expect(await turn({ ...env(), HTTPS_PROXY: proxy.url, NODE_EXTRA_CA_CERTS: caFile })).toBe(200)
    expect(new Set(proxy.requests())).toEqual(new Set(["CONNECT provider.example.test:443 HTTP/1.1"]))
    proxy.stop()
  })

  test("without NODE_EXTRA_CA_CERTS it is not trusted", async () => {
    const proxy = await startForwardProxy(tls.port)
    expect(await turn({ ...env(), HTTPS_PROXY: proxy.url })).toBe(500)
    expect(proxy.requests().length).toBeGreaterThan(0)
    proxy.stop()
  })

  test.each(["provider.example.test", ".example.test", "example.test", "x, provider.example.test:443", "*"])(
    "NO_PROXY=%s: it is asked directly",
    async (noProxy) => {
      const proxy = await startForwardProxy(tls.port)
      const doctor = startProcess({
        args: [mainFile, "doctor"],
        env: {
          ...env(),
          DATABASE_URL: database.url,
          OPENAI_API_KEY: "sk-test",
          HTTPS_PROXY: proxy.url,
          NO_PROXY: noProxy,
        },
      })
      await doctor.ended
      expect(proxy.requests()).toEqual([])
      proxy.stop()
    },
  )
})

test("NODE_EXTRA_CA_CERTS without a proxy", async () => {
  const baseUrl = `https://localhost:${tls.port}/v1`
  expect(await turn({ OPENAI_BASE_URL: baseUrl, NODE_EXTRA_CA_CERTS: caFile })).toBe(200)
})
