import { describe, expect, test } from "bun:test"
import { FastCheck as fc } from "effect"
import { type Fetch, makeClient, VoiceAgentError } from "../../src/client/client.ts"
import { isTransient } from "../../src/client/retry.ts"

type Step = () => Response | Promise<Response>

const problem = (status: number, error: string, headers: Record<string, string> = {}): Step => {
  return () => Response.json({ error, message: `It is ${error}.`, requestId: "r-1" }, { status, headers })
}
const lost: Step = () => Promise.reject(new TypeError("fetch failed"))
const ready: Step = () =>
  Response.json({
    sessions: [],
    nextCursor: null,
    sessionId: "s",
    createdAt: "now",
    userId: "u",
    apiKey: "sk_x",
  })

const audio = new Blob(["audio"])

/** An event stream of one whole turn. */
const turn: Step = () => {
  const times = {
    upload: 1,
    validate: 1,
    transcode: 1,
    stt: 1,
    llmTtft: 1,
    ttsTtfb: 1,
    firstAudio: 1,
    total: 1,
  }
  const counts = { audioSeconds: 1, inputTokens: 1, outputTokens: 1, charactersSpoken: 1 }
  const usage = { ...counts, cost: null, currency: "USD" }
  const events: ReadonlyArray<readonly [name: string, data: unknown]> = [
    ["turn.started", { sessionId: "s", turnId: "t" }],
    ["transcript", { text: "Hi" }],
    ["from.the.future", {}],
    ["reply.delta", { text: "Yes." }],
    ["audio", { base64: btoa("\0\xff"), format: "mp3" }],
    ["turn.completed", { transcript: "Hi", response: "Yes.", toolCalls: [], timings: times, usage }],
  ]
  return new Response(
    events.map(([name, data]) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`).join(""),
  )
}

/** A client whose fetch answers step by step, and what it was asked. */
const scripted = (...steps: ReadonlyArray<Step>) => {
  const asked: Array<{ readonly url: string; readonly init: RequestInit }> = []
  const fetch: Fetch = async (url, init) => {
    asked.push({ url, init })
    return (steps[asked.length - 1] ?? ready)()
  }
  return { asked, client: makeClient({ baseUrl: "http://host/", apiKey: "sk_x", fetch, pauseMs: 1 }) }
}

const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => "fine",
    (error: unknown) => (error instanceof VoiceAgentError ? error.code : `${error}`),
  )

describe("retries", () => {
  const again: ReadonlyArray<readonly [string, Step]> = [
    ["when the network lost it", lost],
    ["on 408", problem(408, "TIMEOUT")],
    ["on 429", problem(429, "RATE_LIMIT_EXCEEDED", { "retry-after": "0" })],
    ["on 409 SESSION_BUSY", problem(409, "SESSION_BUSY")],
    ["on 502 of a proxy", () => new Response("<h1>Bad gateway</h1>", { status: 502 })],
    ["on 503", problem(503, "DATABASE_UNAVAILABLE", { "retry-after": "0" })],
    ["on 504", () => new Response("", { status: 504 })],
  ]
  for (const [when, step] of again) {
    test(when, async () => {
      const { client, asked } = scripted(step, step)
      expect(await codeOf(client.sessions.list())).toBe("fine")
      expect(asked).toHaveLength(3)
      const turns = scripted(step, turn)
      expect(await codeOf(turns.client.converse(audio))).toBe("fine")
      const keys = turns.asked.map(({ init }) => new Headers(init.headers).get("idempotency-key"))
      expect(keys).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/), keys[0] ?? null])
    })
  }

  const never: ReadonlyArray<readonly [string, Step]> = [
    ["400", problem(400, "INVALID_AUDIO")],
    ["401", problem(401, "INVALID_API_KEY")],
    ["404", problem(404, "SESSION_NOT_FOUND")],
    ["409 of another kind", problem(409, "EMAIL_TAKEN")],
    ["422", problem(422, "IDEMPOTENCY_KEY_REUSED")],
    ["500, after the service's own retries", problem(500, "STT_FAILED")],
    ["429 with a long Retry-After", problem(429, "RATE_LIMIT_EXCEEDED", { "retry-after": "31" })],
    ["a monthly limit", problem(429, "QUOTA_EXCEEDED", { "retry-after": "1" })],
    ["a monthly limit behind a proxy", problem(429, "QUOTA_EXCEEDED")],
  ]
  for (const [name, step] of never) {
    test(`not after ${name}`, async () => {
      const { client, asked } = scripted(step)
      expect(await codeOf(client.converse(audio))).not.toBe("fine")
      expect(asked).toHaveLength(1)
    })
  }

  test("at most twice", async () => {
    const { client, asked } = scripted(lost, lost, lost, turn)
    expect(await codeOf(client.converse(audio))).toBe("NETWORK_LOST")
    expect(asked).toHaveLength(3)
  })

  test("not a POST that is unsafe to repeat", async () => {
    for (const call of ["register", "create"] as const) {
      const { client, asked } = scripted(lost)
      const made = call === "register" ? client.register("a@example.com") : client.sessions.create()
      expect(await codeOf(made)).toBe("NETWORK_LOST")
      expect(asked).toHaveLength(1)
    }
  })

  test("no status from 200 to 407", () => {
    fc.assert(
      fc.property(fc.integer({ min: 200, max: 407 }), (status) => {
        expect(isTransient(new VoiceAgentError({ code: "X", message: "", status }))).toBe(false)
      }),
    )
  })
})

describe("a response of something else", () => {
  const strange: ReadonlyArray<readonly [string, Step]> = [
    ["HTML", () => new Response("<h1>Welcome to the hotel</h1>")],
    ["JSON of another shape", () => Response.json({ sessions: [{ id: 1 }], nextCursor: null })],
    ["an empty body", () => new Response("")],
  ]
  for (const [name, step] of strange) {
    test(`${name} is BAD_ANSWER`, async () => {
      expect(await codeOf(scripted(step).client.sessions.list())).toBe("BAD_ANSWER")
    })
  }

  test("a stream without its start is BAD_ANSWER; one that ends early is NETWORK_LOST", async () => {
    const middle: Step = () => new Response('event: transcript\ndata: {"text":"Hi"}\n\n')
    expect(await codeOf(scripted(middle).client.converse(audio))).toBe("BAD_ANSWER")
    const early: Step = () => new Response(": nothing\n\n")
    expect(await codeOf(scripted(early, early, early).client.converse(audio))).toBe("NETWORK_LOST")
  })
})

test("a callback's own error reaches the caller unchanged", async () => {
  const { client, asked } = scripted(turn)
  const call = client.converse(audio, {
    onText: () => {
      throw new RangeError("mine")
    },
  })
  expect(await codeOf(call)).toBe("RangeError: mine")
  expect(asked).toHaveLength(1)
})

test("an error has all of the service's fields", async () => {
  const { client } = scripted(problem(429, "RATE_LIMIT_EXCEEDED", { "retry-after": "60" }))
  const error: unknown = await client.converse(audio).catch((error: unknown) => error)
  expect(error).toBeInstanceOf(VoiceAgentError)
  expect(error).toHaveProperty("message", "It is RATE_LIMIT_EXCEEDED.")
  expect(error).toHaveProperty("requestId", "r-1")
  expect(error).toHaveProperty("retryAfter", 60)
})
