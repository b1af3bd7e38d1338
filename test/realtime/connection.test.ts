import { describe, expect, test } from "bun:test"
import { Cause, Effect, Exit, Option } from "effect"
import type { SignedIn } from "../../src/accounts/model.ts"
import { makeConnection } from "../../src/realtime/connection.ts"
import { ApiKeyId, newId, UserId } from "../../src/schema.ts"

const user: SignedIn = {
  id: newId(UserId),
  email: "ada@example.com",
  createdAt: new Date(0),
  keyId: newId(ApiKeyId),
}

const limits = { session: 3_600_000, idle: 900_000, ping: 20_000, stall: 60_000, queueBytes: 1000 }

const done = { reason: "taken_over", code: "done", message: "Bye.", closeCode: 1000 } as const
const farewell = ["stop", "error done: Bye.", "close 1000 done"]

const start = (changed: Partial<typeof limits> = {}) => {
  let time = 1_000_000
  const log: Array<string> = []
  const received: Array<string> = []
  const connection = makeConnection(user, { ...limits, ...changed }, () => time)
  const socket = {
    isFull: false,
    sendText: (text: string) => {
      const { type, error } = JSON.parse(text)
      log.push(type === "error" ? `error ${error.code}: ${error.message}` : type)
      return socket.isFull ? -1 : text.length
    },
    getBufferedAmount: () => (socket.isFull ? 100 : 0),
    close: (code?: number, reason?: string) => {
      log.push(`close ${code} ${reason}`)
    },
    ping: () => {
      log.push("ping")
      return 1
    },
    terminate: () => {
      log.push("terminate")
    },
  }
  connection.begin({
    receive: (message) => received.push(message),
    stop: () => void log.push("stop"),
    drain: Effect.void,
  })
  const { handlers } = connection
  const isDone = (effect: Effect.Effect<void>) => Exit.isSuccess(Effect.runSyncExit(effect))
  return {
    connection,
    socket,
    log,
    received,
    open: () => handlers.open(socket),
    say: (message: string | Uint8Array) => handlers.message(socket, message),
    pong: () => handlers.pong(),
    drain: () => {
      socket.isFull = false
      handlers.drain()
    },
    closed: (code: number) => handlers.close(socket, code),
    /** Lets this many ms pass, with a check every second, as in the service. */
    pass: (ms: number, each = () => {}) => {
      for (let left = ms; left > 0; left -= 1000) {
        time += Math.min(1000, left)
        each()
        connection.check()
      }
    },
    isEnded: () => isDone(connection.ended),
    isGone: () => isDone(connection.gone),
    summary: () => Option.getOrThrow(connection.summary()),
  }
}

const append = (audio: string) => JSON.stringify({ type: "input_audio_buffer.append", audio })
const audio = append("A".repeat(200))

describe("pings", () => {
  test("come every interval, however busy the client is", () => {
    const { open, pass, say, log } = start()
    open()
    pass(65_000, () => say(audio))
    expect(log).toEqual(["ping", "ping", "ping"])
  })

  test("a client that answers stays", () => {
    const { open, pass, pong, log, isEnded } = start()
    open()
    pass(300_000, pong)
    expect([log.length, isEnded()]).toEqual([15, false])
  })

  test("a client that answers none of two is gone", () => {
    const { open, pass, log, summary, isEnded, closed, isGone } = start()
    open()
    pass(50_000)
    expect([log, isEnded()]).toEqual([["ping", "ping"], false])
    pass(1000)
    expect([log, isEnded(), isGone()]).toEqual([["ping", "ping", "terminate"], true, false])
    closed(1006)
    expect([summary().reason, isGone()]).toEqual(["unreachable", true])
  })
})

describe("limits", () => {
  test("the longest session", () => {
    const { open, pass, say, received, log, summary, isEnded } = start({ session: 120_000, ping: 1e9 })
    open()
    pass(119_000, () => say(audio))
    expect([log, isEnded()]).toEqual([[], false])
    pass(1000)
    expect(log).toEqual([
      "stop",
      "error session_expired: Your session hit the maximum duration of 2 minutes.",
      "close 1001 session_expired",
    ])
    expect([isEnded(), summary().reason, summary().code]).toEqual([true, "session_expired", 1001])
    const before = received.length
    say(audio)
    expect(received.length).toBe(before)
  })

  test("no audio and no events for too long", () => {
    const { open, pass, say, pong, log, isEnded } = start({ idle: 60_000, ping: 1e9 })
    open()
    pass(59_000, pong)
    say(audio)
    pass(59_000)
    say('{"type":"response.create"}')
    pass(59_000)
    expect([log, isEnded()]).toEqual([[], false])
    pass(1000)
    expect(log).toEqual([
      "stop",
      "error session_idle: Your session had no audio and no events for 1 minute. Open another one to continue.",
      "close 1001 session_idle",
    ])
  })

  test.each([
    '{"type":"input_audio_buffer.commit"}',
    '{"type":"input_audio_buffer.clear","event_id":"e1"}',
    append(""),
    '{ "type" : "input_audio_buffer.append", "audio" : "" }',
  ])("empty events are no activity: %s", (message) => {
    const { open, pass, say, isEnded } = start({ idle: 60_000, ping: 1e9 })
    open()
    pass(60_000, () => say(message))
    expect(isEnded()).toBe(true)
  })

  test.each([append("AA=="), append("A".repeat(4000)), '{"type":"session.update","session":{}}'])(
    "activity: %s",
    (message) => {
      const { open, pass, say, isEnded } = start({ idle: 60_000, ping: 1e9 })
      open()
      pass(600_000, () => say(message))
      expect(isEnded()).toBe(false)
    },
  )

  test("audio for the client is activity", () => {
    const { connection, open, pass, isEnded } = start({ idle: 60_000, ping: 1e9 })
    open()
    const ids = { response_id: "r1", item_id: "i1", output_index: 0, content_index: 0 }
    pass(120_000, () => connection.wire.send({ type: "response.output_audio.delta", ...ids, delta: "AA==" }))
    expect(isEnded()).toBe(false)
  })

  test("a client that reads nothing", () => {
    const { connection, socket, open, pass, pong, log, summary } = start({ ping: 1e9 })
    open()
    socket.isFull = true
    connection.wire.send({ type: "input_audio_buffer.cleared" })
    pass(59_000, pong)
    expect(log).toEqual(["input_audio_buffer.cleared"])
    pass(1000)
    expect([log.at(-1), summary().reason]).toEqual(["terminate", "slow_client"])
  })

  test("a client that reads slowly is kept while it reads", () => {
    const { connection, socket, open, pass, drain, isEnded } = start({ ping: 1e9 })
    open()
    for (let i = 0; i < 10; i += 1) {
      socket.isFull = true
      connection.wire.send({ type: "input_audio_buffer.cleared" })
      pass(50_000)
      drain()
    }
    expect(isEnded()).toBe(false)
  })

  test("too much for a client that reads slowly", () => {
    const { connection, socket, open, log, summary, closed, isGone } = start()
    open()
    socket.isFull = true
    for (let i = 0; i < 20; i += 1) connection.wire.send({ type: "input_audio_buffer.cleared" })
    expect([log, summary().reason]).toEqual([["input_audio_buffer.cleared", "terminate"], "slow_client"])
    closed(1006)
    expect(isGone()).toBe(true)
  })
})

describe("end", () => {
  test("by the client", () => {
    const { open, closed, summary, isEnded, isGone, say } = start()
    open()
    say("ä")
    closed(1000)
    expect([isEnded(), isGone()]).toEqual([true, true])
    expect(summary()).toEqual({ reason: "client", code: 1000, ms: 0, bytesIn: 2, bytesOut: 0 })
  })

  test("by a lost connection", () => {
    const { open, closed, summary, pass, connection } = start()
    open()
    connection.wire.send({ type: "input_audio_buffer.cleared" })
    pass(1500)
    closed(1006)
    expect(summary()).toMatchObject({ reason: "lost", code: 1006, ms: 1500 })
    expect(summary().bytesOut).toBeGreaterThan(60)
  })

  test("by the session: its responses end first", () => {
    const { connection, open, closed, log, summary, isEnded, isGone } = start()
    open()
    connection.wire.end(done)
    connection.wire.end(done)
    expect([log, isEnded(), isGone()]).toEqual([farewell, true, false])
    closed(1000)
    expect([isGone(), summary().reason]).toEqual([true, "taken_over"])
  })

  test("by the session, before the handshake ends", () => {
    const { connection, open, log } = start()
    connection.wire.send({ type: "input_audio_buffer.cleared" })
    connection.wire.end(done)
    open()
    expect(log).toEqual(["stop", "input_audio_buffer.cleared", ...farewell.slice(1)])
  })

  test("by the service, before the handshake ends", () => {
    const { connection, open, log, isEnded, isGone } = start()
    connection.terminate("shutdown")
    expect([isEnded(), isGone()]).toEqual([true, true])
    open()
    expect(log).toEqual(["terminate"])
  })

  test("a client that does not close is cut off", () => {
    const { connection, open, pass, pong, log } = start({ ping: 1e9 })
    open()
    connection.wire.end(done)
    pass(5000, pong)
    expect(log).toEqual(farewell)
    pass(1000, pong)
    expect(log).toEqual([...farewell, "terminate"])
  })

  test("a slow client still gets what is queued before it", () => {
    const { connection, socket, open, pass, drain, log } = start({ ping: 1e9 })
    open()
    socket.isFull = true
    connection.wire.send({ type: "input_audio_buffer.cleared" })
    connection.wire.send({ type: "input_audio_buffer.cleared" })
    connection.wire.end(done)
    pass(4000)
    drain()
    expect(log).toEqual([
      "input_audio_buffer.cleared",
      "stop",
      "input_audio_buffer.cleared",
      ...farewell.slice(1),
    ])
  })

  test("a session that throws", () => {
    const { connection, open, say } = start()
    const defect = new Error("a defect")
    connection.begin({
      receive: () => {
        throw defect
      },
      stop: () => {},
      drain: Effect.void,
    })
    open()
    say(audio)
    expect(Effect.runSyncExit(connection.ended)).toEqual(Exit.failCause(Cause.die(defect)))
  })
})
