/** No client or provider can write a line of the console's log. */
import { afterAll, beforeAll, expect, mock, spyOn, test } from "bun:test"
import { wav16k } from "../support/audio.ts"
import { BOUNDARY, formEnd, multipartType, partHead } from "../support/multipart.ts"
import { connectRaw, head } from "../support/raw-http.ts"
import { type Service, startService } from "../support/service.ts"
import { fail } from "../support/upstream.ts"

/** Line ends and terminal commands, followed by a forged log line. */
const line = "12:00:00.000 INFO forged=1"
const forgeries = [
  "\n",
  "\r\n",
  "\r",
  "\u2028",
  "\u2029",
  "\u0085",
  "\u001b[2K\u001b[1A",
  "\v",
  "\u202e",
  "\u0008",
].map((mark) => `x${mark}${line}`)

const said: Array<string> = []
let service: Service
let key = ""
let audio = new Blob()
beforeAll(async () => {
  for (const name of ["log", "error", "warn", "info"] as const) {
    spyOn(console, name).mockImplementation((...parts: ReadonlyArray<unknown>) => {
      said.push(parts.join(" "))
    })
  }
  service = await startService({
    speed: 50,
    env: { NODE_ENV: "development", LOG_LEVEL: "debug", TRUSTED_PROXIES: "127.0.0.1" },
  })
  key = await service.register()
  audio = new Blob([await wav16k()])
  // The test's database logs at its start.
  said.length = 0
})
afterAll(async () => {
  await service.stop()
  mock.restore()
})

const authorization = () => ({ authorization: `Bearer ${key}` })

/** The lines since then, up to the line of a last request. */
const written = async (events: RegExp) => {
  const last = crypto.randomUUID()
  await service.call("GET", "/health", { headers: { "x-request-id": last } })
  while (!said.some((each) => each.includes(last))) await Bun.sleep(5)
  const lines = said.splice(0).flatMap((each) => each.split("\n"))
  for (const each of lines) {
    expect(each).toMatch(/^(\d\d:\d\d:\d\d\.\d{3} (DEBUG|INFO|WARN|ERROR) [ -~]+| {4}[ -~]+)$/)
    expect(each).not.toMatch(/^\S+ \S+ forged/)
  }
  expect(lines.join("\n")).toMatch(events)
}

/** The raw UTF-8 bytes of a header. */
const sendRaw = async (request: string) => {
  const client = await connectRaw(service.url)
  await client.send(request)
  await client.answer()
  client.leave()
}

const targets: ReadonlyArray<
  readonly [where: string, send: (forged: string) => Promise<unknown>, events: RegExp]
> = [
  [
    "a path",
    (forged) => sendRaw(head(`GET /api/v1/health/${forged.replaceAll(" ", "+")}`)),
    / request\.completed /,
  ],
  [
    "a path, percent-encoded",
    (forged) => service.call("GET", `/${encodeURIComponent(forged)}`),
    / request\.completed .*status=404/,
  ],
  [
    "a request id",
    (forged) => sendRaw(head("GET /api/v1/health", { "x-request-id": forged })),
    / request\.completed /,
  ],
  [
    "a user agent",
    (forged) => sendRaw(head("GET /api/v1/health", { "user-agent": forged })),
    / request\.completed /,
  ],
  [
    "a forwarded address",
    (forged) => sendRaw(head("GET /api/v1/health", { "x-forwarded-for": forged })),
    / request\.completed /,
  ],
  [
    "an API key",
    (forged) => sendRaw(head("GET /api/v1/sessions", { authorization: `Bearer ${forged}` })),
    / request\.completed /,
  ],
  [
    "an Idempotency-Key",
    (forged) =>
      sendRaw(head("POST /api/v1/voice/conversation", { ...authorization(), "idempotency-key": forged })),
    / request\.completed /,
  ],
  [
    "an e-mail",
    (email) => service.call("POST", "/users/register", { body: { email } }),
    / request\.refused .*code=VALIDATION_ERROR| request\.completed .*status=400/,
  ],
  [
    "a title",
    (title) => service.call("POST", "/sessions", { key, body: { title, metadata: { [title]: title } } }),
    / request\.completed .*status=201/,
  ],
  [
    "a query",
    (forged) => service.call("GET", `/sessions?cursor=${encodeURIComponent(forged)}`, { key }),
    / request\.completed .*status=400/,
  ],
  [
    "a text turn's session",
    (forged) =>
      service.call("POST", `/sessions/${encodeURIComponent(forged)}/messages`, {
        key,
        body: { text: forged },
      }),
    / request\.completed .*status=404/,
  ],
  [
    "a file's name and type",
    async (forged) => {
      const body = Buffer.concat([
        Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: form-data; name="sessionId"\r\n\r\n${forged}\r\n`),
        Buffer.from(
          partHead({
            name: "audio",
            filename: encodeURIComponent(forged).replaceAll("%", "\\%"),
            type: encodeURIComponent(forged),
          }),
        ),
        Buffer.from(forged),
        Buffer.from(formEnd),
      ])
      const headers = { ...authorization(), "content-type": multipartType }
      return fetch(`${service.url}/voice/conversation`, { method: "POST", headers, body })
    },
    / request\.refused .*code=INVALID_AUDIO/,
  ],
  [
    "a provider's refusal",
    (forged) => {
      service.upstream.script("stt", [fail.badRequest(forged)])
      return service.converse(key, audio)
    },
    / request\.refused .*code=INVALID_REQUEST/,
  ],
  [
    "a provider's failure",
    (forged) => {
      service.upstream.script("llm", Array(3).fill(fail.status(500, forged)))
      return service.converse(key, audio)
    },
    / request\.failed .*code=LLM_FAILED/,
  ],
  [
    "a transcript and a reply",
    async (forged) => {
      service.upstream.script("stt", [{ text: forged }])
      service.upstream.script("llm", [{ text: forged }])
      return (await service.converse(key, audio)).bytes()
    },
    / turn\.completed /,
  ],
]

test.each(targets)("%s forges no line", async (_, send, events) => {
  for (const forged of forgeries) await send(forged)
  await written(events)
})
