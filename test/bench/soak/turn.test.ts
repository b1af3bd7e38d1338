import { describe, expect, test } from "bun:test"
import type { Accept } from "../../../scripts/bench/soak/mix.ts"
import { endOf } from "../../../scripts/bench/soak/turn.ts"

const end = (status: number, body: string, whole: boolean, accept: Accept = "audio/mpeg") =>
  endOf({ status, headers: new Headers(), body: Buffer.from(body), whole }, accept)

const event = (name: string, data: object) => `id: 1\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`

describe("the end of a turn", () => {
  test("is complete if the body ends cleanly", () => {
    expect(end(200, "sound", true)).toBe("whole")
    expect(end(200, "sound", false)).toBe("broke off")
  })

  test("is the status and code of an error response", () => {
    expect(end(500, '{"error":"STT_FAILED","message":"…"}', true)).toBe("500 STT_FAILED")
    expect(end(502, "<html>", true)).toBe("502 without a code")
  })

  test("is lost if the connection broke", () => expect(end(0, "", false)).toBe("no response"))

  test("of an event stream is its last event", () => {
    const began = event("transcript", { text: "turn.completed" })
    const as = (last: string) => end(200, `${began}${last}`, true, "text/event-stream")
    expect(as(event("turn.completed", { response: "Yes." }))).toBe("whole")
    expect(as(event("error", { error: "TTS_FAILED", message: "…" }))).toBe("broke off TTS_FAILED")
    expect(as("")).toBe("broke off without an event")
    expect(end(200, `${began}${event("turn.completed", {})}`, false, "text/event-stream")).toBe("broke off")
  })
})
