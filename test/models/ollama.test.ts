import { afterAll, beforeEach, describe, expect, test } from "bun:test"
import { Effect, Either, Option } from "effect"
import type { ChatModel } from "../../src/models/manifest.ts"
import { ollamaModels, ollamaUrl, pullChatModel } from "../../src/models/ollama.ts"
import { fastClock } from "../support/fast-clock.ts"

/** Ollama's answers, in its words (server/routes.go): one JSON object per line. */
let lines: ReadonlyArray<object> = []
let reply: () => Response | Promise<Response> = () =>
  new Response(lines.map((line) => `${JSON.stringify(line)}\n`).join(""))
let asked: Array<unknown> = []

const whole = reply
const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  routes: {
    "/api/tags": () =>
      Response.json({ models: [{ name: "qwen3:4b-instruct", size: 1 }, { name: "other:latest" }] }),
    "/api/pull": async (request) => {
      asked.push(await request.json())
      return reply()
    },
  },
})
const url = `http://127.0.0.1:${server.port}`
afterAll(() => server.stop(true))
beforeEach(() => {
  asked = []
  reply = whole
})

const model: ChatModel = {
  name: "chat",
  description: "",
  role: "llm",
  languages: [],
  licence: "MIT",
  attribution: "",
  needs: { cores: 1, memoryMb: 1 },
  ollama: "chat:1b",
  size: 1,
}
const digest = "sha256:8eeb52dfb3bb9aefdf9d1ef24b3bdbcfbe82238798c4b918278320b6fcef18fe"

const pull = async (base = url) => {
  const seen: Array<readonly [string, number, number]> = []
  const result = await Effect.runPromise(
    Effect.either(pullChatModel(base, model, (...progress) => seen.push(progress))).pipe(
      Effect.withClock(fastClock(2000)),
    ),
  )
  return { seen, error: Either.isLeft(result) ? result.left : undefined }
}

describe("pull", () => {
  test("reports Ollama's progress", async () => {
    lines = [
      { status: "pulling manifest" },
      { status: "pulling 8eeb52dfb3bb", digest, total: 100 },
      { status: "pulling 8eeb52dfb3bb", digest, total: 100, completed: 60 },
      { status: "verifying sha256 digest" },
      { status: "success" },
    ]
    expect(await pull()).toEqual({
      error: undefined,
      seen: [
        ["sha256:8eeb52dfb3bb", 0, 100],
        ["sha256:8eeb52dfb3bb", 60, 100],
      ],
    })
    expect(asked).toEqual([{ model: "chat:1b", stream: true }])
  })

  test("lines in pieces", async () => {
    const text = `${JSON.stringify({ status: "pulling", digest, total: 9, completed: 9 })}\n{"status":"success"}`
    reply = () =>
      new Response(
        new ReadableStream({
          start: (controller) => {
            for (const byte of new TextEncoder().encode(text)) controller.enqueue(Uint8Array.of(byte))
            controller.close()
          },
        }),
      )
    expect(await pull()).toEqual({ error: undefined, seen: [["sha256:8eeb52dfb3bb", 9, 9]] })
  })

  test("errors in Ollama's words", async () => {
    lines = [{ status: "pulling manifest" }, { error: "pull model manifest: file does not exist" }]
    expect((await pull()).error?.message).toBe(
      "Ollama could not get chat:1b for chat: pull model manifest: file does not exist. Check its network and its version, and run the command again.",
    )
    reply = () => Response.json({ error: "requires a newer version" }, { status: 412 })
    expect((await pull()).error?.message).toContain("requires a newer version")
    reply = () => new Response("<html>", { status: 502 })
    expect((await pull()).error?.message).toContain("status 502")
  })

  test("an answer without success", async () => {
    lines = [{ status: "pulling manifest" }]
    expect((await pull()).error?.message).toContain("the answer ended early")
  })

  test("silence", async () => {
    reply = () => new Response(new ReadableStream({ start: (each) => each.enqueue("{}\n") }))
    expect((await pull()).error?.message).toContain("Ollama reported nothing for 300 s")
  })

  test("no Ollama", async () => {
    const { error } = await pull("http://127.0.0.1:1")
    expect(error?._tag).toBe("SourceUnreachable")
    expect(error?.message).toContain(
      "Ollama does not answer at http://127.0.0.1:1. Start it with ollama serve",
    )
  })
})

describe("models", () => {
  test("of a running Ollama", async () => {
    expect(await Effect.runPromise(ollamaModels(url))).toEqual(
      Option.some(["qwen3:4b-instruct", "other:latest"]),
    )
    expect(await Effect.runPromise(ollamaModels(`${url}/other`))).toEqual(Option.none())
    expect(await Effect.runPromise(ollamaModels("http://127.0.0.1:1"))).toEqual(Option.none())
  })
})

test("OLLAMA_HOST in every form", () => {
  for (const [host, expected] of [
    [undefined, "http://127.0.0.1:11434"],
    ["", "http://127.0.0.1:11434"],
    ["0.0.0.0", "http://127.0.0.1:11434"],
    ["0.0.0.0:8080", "http://127.0.0.1:8080"],
    ["[::]:8080", "http://127.0.0.1:8080"],
    ["ollama", "http://ollama:11434"],
    ["http://ollama:8080/", "http://ollama:8080"],
    ["https://ollama.test/path", "https://ollama.test/path"],
    ["http://", "http://127.0.0.1:11434"],
  ] as const) {
    expect(ollamaUrl(host)).toBe(expected)
  }
})

describe("a list", () => {
  const namesOf = async (answer: () => Response) => {
    const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: answer })
    const found = await Effect.runPromise(ollamaModels(`http://127.0.0.1:${server.port}`))
    await server.stop(true)
    return Option.getOrUndefined(found)
  }

  test.each<[string, unknown, ReadonlyArray<string>]>([
    ["null", { models: null }, []],
    ["an odd entry", { models: [{ name: "llama3.2:3b" }, { nom: 1 }, null, 2] }, ["llama3.2:3b"]],
  ])("with %s", async (_, list, names) => {
    expect(await namesOf(() => Response.json(list))).toEqual([...names])
  })

  test.each<[string, () => Response]>([
    ["an error", () => Response.json({ models: [{ name: "a" }] }, { status: 500 })],
    ["a redirect", () => Response.redirect(`${url}/api/tags`)],
    ["another JSON", () => Response.json([])],
  ])("of %s is no list", async (_, answer) => {
    expect(await namesOf(answer)).toBeUndefined()
  })

  test("of Ollama's cloud is not asked for", async () => {
    expect(await Effect.runPromise(ollamaModels("https://ollama.com"))).toEqual(Option.none())
  })
})
