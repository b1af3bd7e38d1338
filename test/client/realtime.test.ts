/** `client.realtime` against the real service, through a proxy that loses connections. */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test"
import { makeClient, type RealtimeListener, type RealtimeOptions } from "../../src/client/client.ts"
import { speechSamples } from "../support/spoken.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { DEFAULT_REPLY, DEFAULT_TRANSCRIPT } from "../support/upstream.ts"
import { startWire, type Wire } from "./wire.ts"

let service: TurnService
let wire: Wire
let apiKey: string
let question: Int16Array

beforeAll(async () => {
  service = await startTurns()
  wire = await startWire(service.url)
  apiKey = await service.register()
  question = await speechSamples()
})
beforeEach(() => {
  service.reset()
  wire.reset()
})
afterAll(async () => {
  await wire.stop()
  await service.stop()
})

/** Samples of 40 ms, as a microphone gives them. */
const pieceSamples = 960

/** The protocols of every socket that was opened. */
const offered: Array<ReadonlyArray<string>> = []

class WatchedSocket extends WebSocket {
  constructor(url: string, protocols: Array<string>) {
    super(url, protocols)
    offered.push(protocols)
  }
}

const start = (options: RealtimeOptions = {}, key = apiKey) => {
  const log: Array<string> = []
  const errors: Array<string> = []
  const texts = new Map<string, string>()
  const note =
    (name: string) =>
    (about: object = {}) => {
      log.push([name, ...Object.values(about).filter((each) => typeof each !== "string")].join(" "))
    }
  let samples = 0
  const listener: RealtimeListener = {
    onState: (state) => log.push(state),
    onSession: note("session"),
    onTranscript: ({ text }) => log.push(`said: ${text}`),
    onText: ({ itemId, text }) => texts.set(itemId, `${texts.get(itemId) ?? ""}${text}`),
    onAudio: ({ samples: more }) => {
      samples += more.length
    },
    onInterrupted: note("interrupted"),
    onReplyEnd: ({ isComplete }) => log.push(isComplete ? "complete" : "broken off"),
    onError: ({ code }) => errors.push(code),
    onClosed: (error) => log.push(`ended: ${error?.code}`),
  }
  const realtime = makeClient({ baseUrl: wire.url, apiKey: key, pauseMs: 1 }).realtime({
    ...listener,
    WebSocket: WatchedSocket,
    pauseMs: 1,
    ...options,
  })
  const append = (sound: Int16Array) => {
    for (let at = 0; at < sound.length; at += pieceSamples) {
      realtime.append(sound.subarray(at, at + pieceSamples))
    }
  }
  return {
    realtime,
    log,
    errors,
    texts: () => [...texts.values()],
    samples: () => samples,
    speak: () => append(question),
    /** Is silent until the service has noticed. */
    pause: () => append(new Int16Array(24_000)),
    reaches: (what: string, count = 1) =>
      until(
        () => log.filter((each) => each === what).length >= count,
        () => `${what}; ${log.join(", ")}; ${errors.join(", ")}`,
      ),
  }
}

/** What the model was last asked, without the instructions. */
const prompt = () =>
  service.upstream
    .calls("llm")
    .at(-1)
    ?.request.messages.map(({ content }) => content)
    .slice(1)

const long = "This is a sentence of a long reply. ".repeat(10)

test("hears, and answers with text and audio", async () => {
  offered.length = 0
  // A player at once: what arrives is played.
  const { realtime, log, errors, texts, samples, speak, pause, reaches } = start({ playedMs: () => 60_000 })
  speak()
  pause()
  await reaches("complete")
  await reaches("listening", 2)
  expect(log.filter((each) => each !== "session false")).toEqual([
    "listening",
    "hearing",
    "thinking",
    `said: ${DEFAULT_TRANSCRIPT}`,
    "speaking",
    "complete",
    "listening",
  ])
  expect(texts()).toEqual([DEFAULT_REPLY])
  expect(samples()).toBeGreaterThan(24_000)
  expect(offered).toHaveLength(1)
  expect(offered.flat()).toEqual(["realtime", expect.stringMatching(/^openai-insecure-api-key\.ek_/)])
  realtime.close()
  expect(log.slice(-2)).toEqual(["closed", "ended: undefined"])
  expect(errors).toEqual([])
})

test("speech interrupts a reply, and counts what was played", async () => {
  service.upstream.script("llm", [{ text: long }])
  const { realtime, log, errors, speak, pause, reaches } = start({ playedMs: () => 3000 })
  speak()
  pause()
  await reaches("speaking")
  await reaches("complete")
  speak()
  await reaches("interrupted 3000")
  pause()
  await reaches(`said: ${DEFAULT_TRANSCRIPT}`, 2)
  await until(() => service.upstream.calls("llm").length === 2, "the second reply")
  const heard = prompt()?.[1] ?? ""
  expect(heard).toStartWith("This is a sentence of a long reply.")
  expect(heard.length).toBeLessThan(long.length / 2)
  expect(log.filter((each) => each.startsWith("interrupted"))).toHaveLength(1)
  realtime.close()
  expect(errors).toEqual([])
})

test("say and interrupt", async () => {
  service.upstream.script("llm", [{ text: long, chunkDelayMs: 20 }])
  const { realtime, log, errors, samples, reaches } = start({
    playedMs: () => 3000,
    session: { instructions: "Be brief." },
  })
  // Before there is a connection.
  realtime.say("Tell me a story.")
  await until(() => samples() > 3 * 24_000, "three seconds of audio")
  realtime.interrupt()
  await reaches("broken off")
  expect(log).toContain("interrupted 3000")
  realtime.say("And now?")
  await reaches("complete")
  expect(log.filter((each) => each.startsWith("said"))).toEqual(["said: Tell me a story.", "said: And now?"])
  const [first, second] = service.upstream.calls("llm")
  expect(first?.request.messages[0]?.content).toStartWith("Be brief.")
  expect(second?.request.messages.at(-1)?.content).toEndWith("And now?")
  realtime.close()
  expect(errors).toEqual([])
})

test("a lost connection continues the session", async () => {
  service.upstream.script("llm", [{ text: "Yes." }])
  const { realtime, log, errors, speak, pause, reaches } = start()
  await reaches("session false")
  // Nothing was said: there is no session to continue.
  wire.reset()
  await reaches("session false", 2)
  realtime.say("Hello?")
  await reaches("complete")
  const id = realtime.sessionId()
  // It is played.
  await reaches("listening", 3)
  wire.reset()
  await reaches("connecting", 2)
  speak()
  pause()
  await reaches("session true")
  await reaches("complete", 2)
  expect(prompt()).toEqual(["Hello?", "Yes.", DEFAULT_TRANSCRIPT])
  expect(realtime.sessionId()).toBe(id)
  expect(log.filter((each) => each.startsWith("ended"))).toEqual([])
  realtime.close()
  expect(errors).toEqual([])
})

test("a connection lost during a reply breaks it off", async () => {
  service.upstream.script("llm", [{ text: long, chunkDelayMs: 20 }])
  const { realtime, reaches } = start({ playedMs: () => 60_000 })
  realtime.say("Tell me a story.")
  await reaches("speaking")
  wire.reset()
  await reaches("broken off")
  await reaches("session true")
  realtime.close()
  await service.nothingLeft()
})

test("a session that is gone ends it", async () => {
  const { log, reaches } = start({ sessionId: crypto.randomUUID() })
  await reaches("ended: SESSION_NOT_FOUND")
  expect(log).not.toContain("listening")
})

test("a wrong key ends it", async () => {
  const { reaches } = start({}, "sk_wrong")
  await reaches("ended: INVALID_API_KEY")
})

test("a service that cannot be reached ends it after the retries", async () => {
  const secret = () => "ek_none"
  const { reaches } = start({ secret })
  await reaches("ended: NETWORK_LOST")
  expect(wire.connections()).toBeGreaterThanOrEqual(3)
})

test("a key as the secret, and no reconnects", async () => {
  const { log, reaches } = start({ secret: () => apiKey, reconnects: 0 })
  await reaches("session false")
  wire.reset()
  await reaches("ended: NETWORK_LOST")
  expect(log).toContain("closed")
})
