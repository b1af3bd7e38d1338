import { expect, test } from "bun:test"
import { maxAnswerBytes, withBoundedAnswers } from "../../src/tools/mcp/answer-bound.ts"

/** Reads an answer that comes in these chunks. */
const read = (chunks: ReadonlyArray<string>, type: string) =>
  withBoundedAnswers(() =>
    Promise.resolve(
      new Response(
        new ReadableStream<Uint8Array>({
          start: (controller) => {
            for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk))
            controller.close()
          },
        }),
        { status: 201, headers: { "content-type": type } },
      ),
    ),
  )("http://example.com").then(async (response) => ({ status: response.status, text: await response.text() }))

const half = "a".repeat(maxAnswerBytes / 2)
const tooLong = { _tag: "AnswerUnreadable", reason: `is longer than ${maxAnswerBytes} bytes` }

test("a body is bounded as a whole", async () => {
  expect(await read([half, half], "application/json")).toEqual({ status: 201, text: half + half })
  await expect(read([half, "\n\n", half], "application/json")).rejects.toMatchObject(tooLong)
})

test.each([
  ["LF", "\n"],
  ["CR LF", "\r\n"],
  ["CR", "\r"],
])("each event of a stream is bounded: %s", async (_, end) => {
  const type = "Text/Event-Stream; charset=utf-8"
  const event = `data: ${half}${end}${end}`
  const stream = [event, event, event, `data: ${half}`, `${end}${end}`, event]
  expect(await read(stream, type)).toEqual({ status: 201, text: stream.join("") })
  // An event may have several lines. Its line ends may come in another chunk.
  for (const long of [
    [half, half, "a"],
    [`data: ${half}${end}data: ${half}`],
    [`data: ${half}`, end, `data: ${half}`],
    [`data: ${half}${end.slice(0, 1)}`, `${end.slice(1)}data: ${half}`],
    [event, `data: ${half}${end}: ${end}data: ${half}`],
  ]) {
    await expect(read(long, type)).rejects.toMatchObject(tooLong)
  }
})

test("an answer without a body", async () => {
  const empty = withBoundedAnswers(() => Promise.resolve(new Response(null, { status: 202 })))
  expect((await empty("http://example.com")).status).toBe(202)
})
