import { describe, expect, test } from "bun:test"
import { Effect, Fiber } from "effect"
import { makeOutbox, makeWire } from "../../src/realtime/outbox.ts"

/** A socket that takes `room` messages, buffers one more, and then drops. */
const makeSocket = () => {
  const sent: Array<string> = []
  const closes: Array<number | undefined> = []
  const socket = {
    room: Number.POSITIVE_INFINITY,
    buffered: 0,
    drops: false,
    sendText: (text: string) => {
      if (socket.drops) return 0
      sent.push(text)
      if (socket.room > 0) {
        socket.room -= 1
        return Buffer.byteLength(text)
      }
      socket.buffered += Buffer.byteLength(text)
      return -1
    },
    getBufferedAmount: () => socket.buffered,
    close: (code?: number) => {
      closes.push(code)
    },
  }
  return { socket, sent, closes }
}

const start = ({ maxBytes = 1e9 } = {}) => {
  let time = 0
  let overflows = 0
  const outbox = makeOutbox({
    maxBytes,
    now: () => time,
    onOverflow: () => {
      overflows += 1
    },
  })
  return {
    outbox,
    ...makeSocket(),
    overflows: () => overflows,
    advance: (ms: number) => {
      time += ms
    },
  }
}

/** The socket has sent what it had, and takes `room` messages. */
const drain = ({ outbox, socket }: ReturnType<typeof start>, room = Number.POSITIVE_INFINITY) => {
  socket.buffered = 0
  socket.drops = false
  socket.room = room
  outbox.onDrain()
}

describe("order", () => {
  test("sends at once while the socket takes it", () => {
    const { outbox, socket, sent } = start()
    outbox.attach(socket)
    outbox.send("a")
    outbox.send("b")
    expect(sent).toEqual(["a", "b"])
    expect([outbox.bytesSent(), outbox.bytesQueued(), outbox.stalledSince()]).toEqual([2, 0, undefined])
  })

  test("keeps what comes before the handshake ends", () => {
    const { outbox, socket, sent } = start()
    outbox.send("a")
    outbox.send("b")
    expect(sent).toEqual([])
    outbox.attach(socket)
    outbox.send("c")
    expect(sent).toEqual(["a", "b", "c"])
  })

  test("stops at -1 and continues at drain", () => {
    const all = start()
    const { outbox, socket, sent, advance } = all
    outbox.attach(socket)
    socket.room = 1
    advance(7)
    for (const text of ["a", "b", "c", "d", "e"]) outbox.send(text)
    // Bun accepted b, and asked for no more.
    expect(sent).toEqual(["a", "b"])
    expect([outbox.bytesSent(), outbox.bytesQueued(), outbox.stalledSince()]).toEqual([2, 3, 7])
    drain(all, 1)
    expect(sent).toEqual(["a", "b", "c", "d"])
    drain(all)
    expect(sent).toEqual(["a", "b", "c", "d", "e"])
    expect(outbox.stalledSince()).toBeUndefined()
  })

  test("sends a message again that Bun dropped", () => {
    const all = start()
    const { outbox, socket, sent } = all
    outbox.attach(socket)
    socket.drops = true
    for (const text of ["a", "b"]) outbox.send(text)
    expect([sent, outbox.bytesQueued(), outbox.bytesSent()]).toEqual([[], 2, 0])
    drain(all)
    expect(sent).toEqual(["a", "b"])
  })

  test("waits for the last drain, but counts each as progress", () => {
    const all = start()
    const { outbox, socket, sent, advance } = all
    outbox.attach(socket)
    socket.room = 0
    outbox.send("x".repeat(300_000))
    outbox.send("b")
    socket.buffered = 200_000
    advance(50)
    outbox.onDrain()
    expect([sent.length, outbox.stalledSince()]).toEqual([1, 50])
    drain(all)
    expect(sent.length).toBe(2)
  })
})

describe("bounds", () => {
  test("more bytes than allowed end it, once", () => {
    const { outbox, socket, sent, overflows } = start({ maxBytes: 100 })
    outbox.attach(socket)
    socket.room = 0
    outbox.send("x".repeat(60))
    outbox.send("x".repeat(40))
    expect(overflows()).toBe(0)
    outbox.send("x")
    outbox.send("y")
    expect([overflows(), sent.length, outbox.bytesQueued()]).toEqual([1, 1, 0])
  })

  test("counts bytes, not characters", () => {
    const { outbox, overflows } = start({ maxBytes: 100 })
    outbox.send("ü".repeat(50))
    expect(overflows()).toBe(0)
    outbox.send("ü")
    expect(overflows()).toBe(1)
  })

  test("a fast socket may take any amount", () => {
    const { outbox, socket, overflows } = start({ maxBytes: 100 })
    outbox.attach(socket)
    for (let i = 0; i < 10; i += 1) outbox.send("x".repeat(90))
    expect([overflows(), outbox.bytesSent()]).toEqual([0, 900])
  })
})

describe("dropAudio", () => {
  test("removes the queued audio of one response only", () => {
    const all = start()
    const { outbox, socket, sent } = all
    outbox.attach(socket)
    socket.room = 0
    outbox.send("accepted by Bun", "r1")
    outbox.send("r1 audio", "r1")
    outbox.send("r1 transcript")
    outbox.send("r2 audio", "r2")
    outbox.send("r1 more audio", "r1")
    outbox.dropAudio("r1")
    outbox.dropAudio("r3")
    expect(outbox.bytesQueued()).toBe("r1 transcriptr2 audio".length)
    drain(all)
    expect(sent).toEqual(["accepted by Bun", "r1 transcript", "r2 audio"])
  })

  test("a wire knows the audio of a response by its type", () => {
    const { outbox, socket, sent } = start()
    const wire = makeWire(outbox)
    const ids = { response_id: "r1", item_id: "i1", output_index: 0, content_index: 0 }
    wire.send({ type: "response.output_audio.delta", ...ids, delta: "AAAA" })
    wire.send({ type: "response.output_audio_transcript.delta", ...ids, delta: "Hello" })
    wire.send({ type: "response.output_audio.delta", ...ids, response_id: "r2", delta: "BBBB" })
    wire.dropAudio("r1")
    outbox.attach(socket)
    expect(sent.map((text) => JSON.parse(text).delta)).toEqual(["Hello", "BBBB"])
    expect(sent.map((text) => JSON.parse(text).event_id).filter((id) => /^event_\w+$/.test(id))).toHaveLength(
      2,
    )
  })
})

describe("drained", () => {
  const isDone = (fiber: Fiber.RuntimeFiber<void>) => fiber.unsafePoll() !== null

  test("waits until little is queued", async () => {
    const all = start()
    const { outbox, socket } = all
    outbox.attach(socket)
    await Effect.runPromise(outbox.drained)
    socket.room = 0
    outbox.send("x".repeat(100_000))
    const fiber = Effect.runFork(outbox.drained)
    outbox.send("y".repeat(100_000))
    await Bun.sleep(0)
    expect(isDone(fiber)).toBe(false)
    drain(all, 0)
    await Bun.sleep(0)
    // y is in Bun's buffer now.
    expect(isDone(fiber)).toBe(false)
    drain(all)
    await Effect.runPromise(Fiber.join(fiber))
  })

  test("ends with the connection, with dropped audio, and with its fiber", async () => {
    const { outbox, socket } = start()
    outbox.send("x".repeat(100_000), "r1")
    const waiting = Effect.runFork(outbox.drained)
    const interrupted = Effect.runFork(outbox.drained)
    await Effect.runPromise(Fiber.interrupt(interrupted))
    outbox.dropAudio("r1")
    await Effect.runPromise(Fiber.join(waiting))
    outbox.send("x".repeat(100_000), "r1")
    const last = Effect.runFork(outbox.drained)
    outbox.discard()
    await Effect.runPromise(Fiber.join(last))
    outbox.attach(socket)
  })
})

describe("close", () => {
  test("comes after what is queued, and nothing comes after it", () => {
    const all = start()
    const { outbox, socket, sent, closes } = all
    outbox.send("a")
    outbox.close(1000, "done")
    outbox.send("b")
    outbox.close(1001, "again")
    outbox.attach(socket)
    expect([sent, closes]).toEqual([["a"], [1000]])
  })

  test("waits for a full socket", () => {
    const all = start()
    const { outbox, socket, sent, closes } = all
    outbox.attach(socket)
    socket.room = 0
    outbox.send("a")
    outbox.send("b")
    outbox.close(1000, "done")
    expect([sent, closes]).toEqual([["a"], []])
    drain(all)
    expect([sent, closes]).toEqual([["a", "b"], [1000]])
  })

  test("is harmless after the end", () => {
    const { outbox, socket, sent, closes } = start()
    outbox.attach(socket)
    outbox.discard()
    outbox.send("a")
    outbox.close(1000, "done")
    outbox.dropAudio("r1")
    outbox.onDrain()
    expect([sent, closes]).toEqual([[], []])
  })
})
