import { describe, expect, test } from "bun:test"
import { makeEventData } from "../../../src/providers/openai/event-data.ts"

const read = (...texts: ReadonlyArray<string>) => {
  const { push, finish } = makeEventData()
  return [...texts.flatMap((text) => push(text)), ...finish()]
}

describe("the data of events", () => {
  const streams = [
    "data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n",
    "data: a\ndata: b\n\ndata: c\n\n",
    "data: a\rdata: b\r\rdata: c\r\r",
    "data: a\r\ndata: b\n\rdata: c\r\n\n",
    ": hi\r\n\r\ndata: a\r\ndata:b\r\n\r\nevent: x\r\ndata: c",
  ]
  test.each(streams)("is the same wherever a chunk is cut: %j", (stream) => {
    const expected = ["a\nb", "c"]
    for (let at = 0; at <= stream.length; at++) {
      expect(read(stream.slice(0, at), stream.slice(at))).toEqual(expected)
      expect(read(stream.slice(0, at), "", stream.slice(at))).toEqual(expected)
    }
    expect(read(...stream)).toEqual(expected)
  })

  test("of a long line is split once", () => {
    const { push } = makeEventData()
    const piece = "x".repeat(4096)
    let split = 0
    /** Counts the characters that are split. */
    const counted = (text: string) =>
      Object.assign(Object(text), {
        split: (by: RegExp) => {
          split += text.length
          return text.split(by)
        },
      })
    push("data: ")
    for (let i = 0; i < 1000; i++) push(counted(piece))
    expect(push("\n\n")).toEqual([piece.repeat(1000)])
    expect(split).toBe(4096 * 1000)
  })
})
