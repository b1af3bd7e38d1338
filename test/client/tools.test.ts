/** Tools of the typed client, against the real service. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import {
  type ConverseOptions,
  makeClient,
  type ToolFunctions,
  VoiceAgentError,
} from "../../src/client/client.ts"
import { wav16k } from "../support/audio.ts"
import {
  asks,
  back,
  type DoorAgent,
  front,
  makeDoorAgent,
  opened,
  question,
  readTurn,
  reply,
  shownFront,
  toldFront,
  words,
} from "../support/door-agent.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { DEFAULT_TRANSCRIPT } from "../support/upstream.ts"
import { startWire, type Wire } from "./wire.ts"

let service: TurnService
let wire: Wire
let user: DoorAgent
let recording: Blob
beforeAll(async () => {
  service = await startTurns()
  wire = await startWire(service.url)
  recording = new Blob([new Uint8Array(await wav16k())])
})
beforeEach(async () => {
  service.reset()
  wire.reset()
  user = await makeDoorAgent(service)
})
afterAll(async () => {
  await wire.stop()
  await service.stop()
})

const make = () => makeClient({ baseUrl: wire.url, apiKey: user.key, pauseMs: 1 })

/** Functions, and the calls that they got. */
const makeTools = (run: (args: Readonly<Record<string, unknown>>) => unknown = () => "open") => {
  const calls: Array<string> = []
  const tools: ToolFunctions = {
    open_door: (args, { callId }) => {
      calls.push(`${callId} ${JSON.stringify(args)}`)
      return run(args)
    },
  }
  return { tools, calls }
}

const converse = (options: ConverseOptions) =>
  make().converse(question, { agentId: user.agentId, ...options })

const failure = async (call: Promise<unknown>): Promise<VoiceAgentError> => {
  const error = await call.then(
    () => undefined,
    (error: unknown) => error,
  )
  if (error instanceof VoiceAgentError) return error
  throw new Error(`not a VoiceAgentError: ${error}`)
}

describe("a turn with functions", () => {
  test("runs the call, and goes on to the reply", async () => {
    service.upstream.script("llm", [asks, { text: reply }])
    const { tools, calls } = makeTools(async () => ({ isOpen: true }))
    const heard: Array<string> = []
    let text = ""
    let audio = 0
    const turn = await make().converse(recording, {
      agentId: user.agentId,
      tools,
      onStarted: ({ isRestart }) => heard.push(`started ${isRestart}`),
      onTranscript: (said) => heard.push(said),
      onToolCall: ({ name }) => heard.push(name),
      onText: (more) => {
        text += more
      },
      onAudio: (bytes) => {
        audio += bytes.length
      },
    })
    expect(calls).toEqual(['call_1 {"door":"front"}'])
    expect(turn).toMatchObject({ response: reply, toolCalls: [], transcript: "" })
    expect(turn.earlier).toMatchObject([
      { transcript: DEFAULT_TRANSCRIPT, response: words, toolCalls: [shownFront], sessionId: turn.sessionId },
    ])
    expect(heard).toEqual(["started false", DEFAULT_TRANSCRIPT, "open_door", "started false"])
    expect(text).toBe(words + reply)
    expect(audio).toBeGreaterThan(1000)
    expect(user.lastPrompt().at(-1)).toBe('tool: {"isOpen":true}')
  })

  test("runs the calls of a round side by side, and those of further rounds", async () => {
    service.upstream.script("llm", [
      { text: "", toolCalls: [front, back] },
      { text: "", toolCalls: [{ ...front, id: "call_3" }] },
      { text: reply },
    ])
    let running = 0
    let most = 0
    const { tools, calls } = makeTools(async () => {
      running += 1
      most = Math.max(most, running)
      await Promise.resolve()
      await Promise.resolve()
      running -= 1
    })
    const turn = await converse({ tools })
    expect(calls).toHaveLength(3)
    expect(most).toBe(2)
    expect(turn.earlier.map(({ toolCalls }) => toolCalls.length)).toEqual([2, 1])
    expect(user.lastPrompt().filter((each) => each === "tool: (no output)")).toHaveLength(3)
  })

  test("tells the agent what a function throws, and of a function that is not there", async () => {
    const told = async (tools: ToolFunctions) => {
      service.upstream.script("llm", [asks, { text: reply }])
      expect(await converse({ tools })).toMatchObject({ response: reply })
      return user.lastPrompt().at(-1)
    }
    expect(
      await told({
        open_door: () => {
          throw new Error("It is stuck.")
        },
      }),
    ).toBe("tool: The tool failed: It is stuck.")
    expect(await told({ open_door: () => Promise.reject("No key.") })).toBe("tool: The tool failed: No key.")
    expect(await told({ open_door: () => Promise.reject(5) })).toBe("tool: The tool failed.")
    expect(await told({ open_door: () => 5n })).toStartWith("tool: The tool failed: ")
    expect(await told({ open_door: () => undefined })).toBe("tool: (no output)")
    expect(await told({ open_door: () => null })).toBe("tool: null")
    const missing = "tool: The tool failed: This client has no tool open_door."
    expect(await told({})).toBe(missing)
    expect(await told({ close_door: () => "" })).toBe(missing)
  })

  test("without functions ends with the calls, whose results can be brought", async () => {
    service.upstream.script("llm", [asks, { text: reply }])
    const turn = await converse({})
    expect(turn).toMatchObject({ response: words, toolCalls: [shownFront], earlier: [] })
    const client = make()
    expect(await client.sessions.toolCalls(turn.sessionId)).toEqual({
      turnId: turn.turnId,
      toolCalls: [shownFront],
    })
    expect(await client.submitToolResults(turn.turnId, opened)).toMatchObject({ response: reply })
    expect((await failure(client.submitToolResults(turn.turnId, opened))).code).toBe("TOOL_CALL_ANSWERED")
  })
})

describe("a lost connection", () => {
  test("in each turn repeats no call and no text", async () => {
    for (const share of [0.3, 0.9]) {
      for (const at of [0, 1]) {
        service.upstream.script("llm", [asks, { text: reply }])
        const { tools, calls } = makeTools(() => {
          if (at === 1) wire.breakAfter(Math.ceil(2000 * share))
          return "open"
        })
        let text = ""
        const before = service.upstream.calls("llm").length
        if (at === 0) wire.breakAfter(Math.ceil(2000 * share))
        const turn = await converse({
          tools,
          onText: (more) => {
            text += more
          },
        })
        expect(turn.response).toBe(reply)
        expect(text).toBe(words + reply)
        expect(calls).toHaveLength(1)
        expect(service.upstream.calls("llm").length - before).toBe(2)
      }
    }
    expect(wire.broken()).toBeGreaterThan(0)
  })

  test("a program that comes back does not run a call that has its result", async () => {
    const idempotencyKey = crypto.randomUUID()
    const { sessionId } = await make().sessions.create({ agentId: user.agentId })
    service.upstream.script("llm", [asks, { text: reply }])
    const first = makeTools()
    await make().converse(question, { sessionId, idempotencyKey, tools: first.tools })
    const second = makeTools()
    const again = await make().converse(question, { sessionId, idempotencyKey, tools: second.tools })
    expect(second.calls).toEqual([])
    expect(again).toMatchObject({ response: words, toolCalls: [shownFront] })
  })

  test("a program that comes back runs a call that is open", async () => {
    const idempotencyKey = crypto.randomUUID()
    const { sessionId } = await make().sessions.create({ agentId: user.agentId })
    service.upstream.script("llm", [asks, { text: reply }])
    await make().converse(question, { sessionId, idempotencyKey })
    const { tools, calls } = makeTools()
    const turn = await make().converse(question, { sessionId, idempotencyKey, tools })
    expect(calls).toHaveLength(1)
    expect(turn.response).toBe(reply)
  })
})

describe("an abort", () => {
  test("in a function ends the call, and sends nothing", async () => {
    service.upstream.script("llm", [asks])
    const controller = new AbortController()
    let isAborted = false
    const tools: ToolFunctions = {
      open_door: (_, { signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener("abort", () => {
            isAborted = true
            reject(new Error("aborted"))
          })
          controller.abort()
        }),
    }
    const { sessionId } = await make().sessions.create({ agentId: user.agentId })
    const error = await failure(make().converse(question, { sessionId, tools, signal: controller.signal }))
    expect(error.code).toBe("ABORTED")
    expect(isAborted).toBe(true)
    expect(service.upstream.calls("llm")).toHaveLength(1)
    // Another program can still answer it.
    const { turnId } = await make().sessions.toolCalls(sessionId)
    expect(await readTurn(await user.bring(turnId ?? "", opened))).toBeDefined()
    expect(user.lastPrompt().slice(0, 3)).toEqual([`user: ${question}`, toldFront, "tool: open"])
  })

  test("in either turn cancels it on the service", async () => {
    for (const at of [0, 1]) {
      service.reset()
      const slow = { text: "One. Two. Three. Four. Five. Six. Seven.", chunkDelayMs: 200 }
      service.upstream.script("llm", at === 0 ? [slow] : [asks, slow])
      const controller = new AbortController()
      const { tools } = makeTools()
      const started: Array<string> = []
      const error = await failure(
        converse({
          tools,
          signal: controller.signal,
          onStarted: ({ turnId }) => started.push(turnId),
          onText: (text) => {
            if (text.includes("One")) controller.abort()
          },
        }),
      )
      expect(error.code).toBe("ABORTED")
      expect(started).toHaveLength(at + 1)
      await until(async () => {
        const rows = await service.database.sql`select state from turns where id = ${started.at(-1) ?? ""}`
        return rows.length === 0 || rows[0].state !== "running"
      }, "the end of the turn")
    }
  })
})
