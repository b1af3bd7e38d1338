import { describe, expect, test } from "bun:test"
import OpenAI from "openai"
import { wav, withEngines } from "./engines.ts"

const engines = withEngines({ ffmpegPath: "ffmpeg" })

describe("answering", () => {
  const request = {
    model: "gpt-3.5-turbo",
    messages: [
      { role: "system", content: "Be brief." },
      { role: "user", content: "My name is Robert." },
      { role: "assistant", content: "Nice to meet you." },
      { role: "user", content: [{ type: "text", text: "What did I just say?" }] },
    ],
  } satisfies OpenAI.ChatCompletionCreateParams
  const expected = 'You just said: "My name is Robert."'

  test("a stream of words, a finish reason and, asked for, the usage", async () => {
    const stream = await engines().client.chat.completions.create({
      ...request,
      stream: true,
      stream_options: { include_usage: true },
    })
    const chunks = await Array.fromAsync(stream)
    const deltas = chunks.flatMap((chunk) => chunk.choices[0]?.delta.content || [])
    expect(deltas.join("")).toBe(expected)
    expect(deltas.length).toBe(7)
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe("stop")
    expect(chunks.at(-1)?.choices).toEqual([])
    expect(chunks.at(-1)?.usage?.total_tokens).toBeGreaterThan(10)
    expect(chunks[0]?.usage).toBeNull()
  })

  test("without stream_options no chunk has usage, and the last event is [DONE]", async () => {
    const response = await fetch(`${engines().baseUrl}/chat/completions`, {
      method: "POST",
      body: JSON.stringify({ ...request, stream: true }),
    })
    expect(response.headers.get("content-type")).toBe("text/event-stream")
    const body = await response.text()
    expect(body).toEndWith("data: [DONE]\n\n")
    expect(body).not.toContain("usage")
  })

  test("whole", async () => {
    const completion = await engines().client.chat.completions.create(request)
    expect(completion.choices[0]?.message.content).toBe(expected)
    expect(completion.choices[0]?.finish_reason).toBe("stop")
    expect(completion.usage?.completion_tokens).toBe(Math.ceil(expected.length / 4))
  })
})

describe("refusals", () => {
  const post = (path: string, body: string | FormData) =>
    fetch(`${engines().baseUrl}${path}`, { method: "POST", body })
  const form = (fields: Record<string, string | File>) => {
    const data = new FormData()
    for (const [name, value] of Object.entries(fields)) data.set(name, value)
    return data
  }
  const silence = new File([wav(new Int16Array(1600), 16_000)], "a.wav")
  const words = { model: "m", voice: "alloy" }

  test.each([
    ["JSON that is none", () => post("/chat/completions", "{"), 400, null],
    ["no messages", () => post("/chat/completions", '{"model":"m"}'), 400, "messages"],
    ["empty messages", () => post("/chat/completions", '{"model":"m","messages":[]}'), 400, "messages"],
    [
      "an unknown role",
      () => post("/chat/completions", '{"model":"m","messages":[{"role":"x","content":""}]}'),
      400,
      "messages.0.role",
    ],
    ["nothing to speak", () => post("/audio/speech", JSON.stringify({ ...words, input: "" })), 400, "input"],
    [
      "too much to speak",
      () => post("/audio/speech", JSON.stringify({ ...words, input: "a".repeat(4097) })),
      400,
      "input",
    ],
    [
      "an unknown format",
      () => post("/audio/speech", JSON.stringify({ ...words, input: "a", response_format: "midi" })),
      400,
      "response_format",
    ],
    [
      "a speed out of range",
      () => post("/audio/speech", JSON.stringify({ ...words, input: "a", speed: 5 })),
      400,
      "speed",
    ],
    ["no form", () => post("/audio/transcriptions", "x"), 400, null],
    ["no file", () => post("/audio/transcriptions", form({ model: "m" })), 400, "file"],
    ["no model", () => post("/audio/transcriptions", form({ file: silence })), 400, "model"],
    [
      "an unknown transcript",
      () => post("/audio/transcriptions", form({ file: silence, model: "m", response_format: "srt" })),
      400,
      "response_format",
    ],
    [
      "no audio",
      () => post("/audio/transcriptions", form({ file: new File(["no audio"], "a.wav"), model: "m" })),
      400,
      "file",
    ],
    ["an unknown path", () => fetch(`${engines().baseUrl}/embeddings`), 404, null],
    ["another method", () => fetch(`${engines().baseUrl}/audio/speech`), 405, null],
  ] as const)("%s", async (_, send, status, param) => {
    const response = await send()
    expect(response.status).toBe(status)
    expect(await response.json()).toEqual({
      error: {
        message: expect.any(String),
        type: "invalid_request_error",
        param,
        code: status === 400 && param === null ? null : expect.any(String),
      },
    })
  })

  test("are the SDK's own errors", async () => {
    const { client } = engines()
    const failure = (promise: Promise<unknown>) => promise.catch((error: unknown) => error)
    expect(await failure(client.audio.speech.create({ ...words, input: "" }))).toBeInstanceOf(
      OpenAI.BadRequestError,
    )
    expect(await failure(client.embeddings.create({ model: "m", input: "a" }))).toBeInstanceOf(
      OpenAI.NotFoundError,
    )
  })
})

test("the models are listed", async () => {
  const models = await Array.fromAsync(engines().client.models.list())
  expect(models.map((model) => model.id)).toContain("whisper-1")
})
