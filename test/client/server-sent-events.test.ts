import { describe, expect, test } from "bun:test"
import { FastCheck as fc } from "effect"
import { eventsOf, makeEventParser, type ServerEvent } from "../../src/client/server-sent-events.ts"

const parse = (...chunks: ReadonlyArray<string>): ReadonlyArray<ServerEvent> => {
  const found: Array<ServerEvent> = []
  const push = makeEventParser((event) => found.push(event))
  for (const chunk of chunks) push(chunk)
  return found
}

const message = (data: string, more: Partial<ServerEvent> = {}) => ({
  event: "message",
  data,
  id: "",
  ...more,
})

describe("server-sent events", () => {
  const cases: ReadonlyArray<readonly [name: string, text: string, events: ReadonlyArray<ServerEvent>]> = [
    [
      "an event with a name and an id",
      'id: 7\nevent: transcript\ndata: {"text":"Hi"}\n\n',
      [{ event: "transcript", data: '{"text":"Hi"}', id: "7" }],
    ],
    ["data in several lines", "data: one\ndata:\ndata: three\n\n", [message("one\n\nthree")]],
    ["one space after the colon, no more", "data:  two\ndata:none\n\n", [message(" two\nnone")]],
    ["a field without a colon", "data\n\n", [message("")]],
    ["comments", ": the turn goes on\n\n:\ndata: x\n: between\ndata: y\n\n", [message("x\ny")]],
    ["no event without data", "event: turn.started\nid: 3\n\ndata: x\n\n", [message("x", { id: "3" })]],
    [
      "an id that stays until the next",
      "id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
      [message("a", { id: "1" }), message("b", { id: "1" }), message("c")],
    ],
    ["an id with a NUL is none", "id: 1\0\ndata: a\n\n", [message("a")]],
    [
      "a name that counts once",
      "event: e\ndata: a\n\ndata: b\n\n",
      [message("a", { event: "e" }), message("b")],
    ],
    ["colons in the data", "data: a: b:c\n\n", [message("a: b:c")]],
    ["fields that nobody knows", "retry: 10\nfoo: bar\n data: x\ndata: y\n\n", [message("y")]],
    [
      "a byte order mark at the begin alone",
      "\ufeffdata: a\n\n\ufeffdata: b\n\ndata: c\n\n",
      [message("a"), message("c")],
    ],
    ["no event without its empty line", "data: a\n\ndata: b\n", [message("a")]],
    [
      "line separators of other kinds are text",
      "data: a\u2028b\u0085c\vd\n\n",
      [message("a\u2028b\u0085c\vd")],
    ],
  ]

  for (const [name, text, events] of cases) {
    for (const [ending, end] of [
      ["LF", "\n"],
      ["CRLF", "\r\n"],
      ["CR", "\r"],
    ] as const) {
      const wire = text.replaceAll("\n", end)
      test(`${name}, with ${ending}`, () => expect(parse(wire)).toEqual([...events]))
      test(`${name}, with ${ending}, character by character`, () =>
        expect(parse(...wire)).toEqual([...events]))
    }
  }

  const line = fc.string({ unit: fc.constantFrom("a", " ", ":", "é", "😀", "{", "\ufeff", "\t") })
  const event = fc.record({
    event: fc.constantFrom("message", "audio", "reply.delta"),
    data: fc.array(line, { minLength: 1, maxLength: 4 }),
    id: fc.nat().map(String),
    comments: fc.array(line, { maxLength: 2 }),
  })
  const ending = fc.constantFrom("\n", "\r\n", "\r")

  test("any events survive any line endings and chunks", () => {
    fc.assert(
      fc.property(
        fc.array(event, { maxLength: 5 }),
        fc.array(ending, { minLength: 1, maxLength: 7 }),
        fc.array(fc.nat(40), { maxLength: 60 }),
        (events, endings, cuts) => {
          let count = 0
          const wire = events
            .flatMap(({ event, data, id, comments }) => [
              `event: ${event}`,
              ...comments.map((each) => `:${each}`),
              `id: ${id}`,
              ...data.map((each) => `data: ${each}`),
              "",
            ])
            .map((each) => {
              count += 1
              // A lone CR before a LF would be one ending instead of two: each event keeps to one kind.
              return `${each}${endings.length === 1 || endings.every((end) => end !== "\r") ? endings[count % endings.length] : endings[0]}`
            })
            .join("")
          const chunks: Array<string> = []
          let from = 0
          for (const cut of cuts) {
            chunks.push(wire.slice(from, from + cut))
            from += cut
          }
          chunks.push(wire.slice(from))
          expect(parse(...chunks)).toEqual(
            events.map(({ event, data, id }) => ({ event, data: data.join("\n"), id })),
          )
        },
      ),
      { numRuns: 500 },
    )
  })

  test("any text parses the same in any chunks", () => {
    const text = fc.string({
      unit: fc.constantFrom("\r", "\n", ":", " ", "data", "event", "id", "x", "\ufeff", "\0"),
    })
    fc.assert(
      fc.property(text, fc.array(fc.nat(9), { maxLength: 30 }), (wire, cuts) => {
        const chunks = cuts.map((cut, at) => wire.slice(sum(cuts, at), sum(cuts, at) + cut))
        expect(parse(...chunks, wire.slice(sum(cuts, cuts.length)))).toEqual([...parse(wire)])
      }),
      { numRuns: 500 },
    )
  })

  test("events arrive while the stream is open", async () => {
    let isOpen = true
    async function* chunks() {
      yield "data: a\n\nda"
      yield "ta: b\n\n"
      isOpen = false
    }
    const found: Array<readonly [string, boolean]> = []
    for await (const { data } of eventsOf(chunks())) found.push([data, isOpen])
    expect(found).toEqual([
      ["a", true],
      ["b", true],
    ])
  })

  test("a long line in many chunks takes linear time", () => {
    const found = parse("data: ", ...Array.from({ length: 100_000 }, () => "0123456789"), "\n\n")
    expect(found[0]?.data.length).toBe(1_000_000)
  })
})

const sum = (numbers: ReadonlyArray<number>, to: number) => numbers.slice(0, to).reduce((a, b) => a + b, 0)
