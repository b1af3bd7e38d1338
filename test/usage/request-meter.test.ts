import { expect, test } from "bun:test"
import { ModelEvent } from "../../src/providers/language-model.ts"
import { makeRequestMeter, type Tokens } from "../../src/usage/request-meter.ts"

const start = () => {
  const used: Array<readonly [model: string, Tokens, isEstimated: boolean]> = []
  const meter = makeRequestMeter(
    () => 100,
    ({ model, isEstimated = false }, tokens) => used.push([model, tokens, isEstimated]),
  )
  const { onRequest, onUnserved, onWritten } = meter.watch
  const request = (model: string) => onRequest({ model, isLocal: false })
  return { ...meter, used, request, onUnserved, onWritten }
}
const counts = (inputTokens: number, outputTokens: number) => ModelEvent.Usage({ inputTokens, outputTokens })

test("the fallback is not counted with the tokens of the server before it", () => {
  const { used, request, onWritten, onEvent, end, tokens } = start()
  request("first")
  onWritten(8)
  onEvent(counts(900, 90))
  request("second")
  onWritten(4)
  end()
  end()
  expect(used).toEqual([
    ["first", { inputTokens: 900, outputTokens: 90 }, false],
    ["second", { inputTokens: 100, outputTokens: 1 }, true],
  ])
  expect(tokens()).toEqual({ inputTokens: 100, outputTokens: 1 })
})

test("a prompt counts once it is sent, also without an answer", () => {
  const { used, request, onEvent, end } = start()
  end()
  request("is left")
  request("is slow")
  onEvent(ModelEvent.Alive({ isThinking: false }))
  end()
  expect(used).toEqual([
    ["is left", { inputTokens: 100, outputTokens: 0 }, true],
    ["is slow", { inputTokens: 100, outputTokens: 0 }, true],
  ])
})

test("a request that is refused is free", () => {
  const { used, request, onUnserved, onWritten, onEvent, end } = start()
  request("is busy")
  onUnserved()
  request("has no credit")
  onUnserved()
  end()
  expect(used).toEqual([])
  request("breaks off")
  onWritten(1)
  onUnserved()
  request("breaks off after its count")
  onEvent(counts(7, 0))
  onUnserved()
  end()
  expect(used).toEqual([
    ["breaks off", { inputTokens: 100, outputTokens: 1 }, true],
    ["breaks off after its count", { inputTokens: 7, outputTokens: 0 }, false],
  ])
})

test("what is written after the server's count is estimated", () => {
  const { used, request, onWritten, onEvent, end } = start()
  request("counts early")
  onWritten(400)
  onEvent(counts(7, 3))
  onWritten(40)
  end()
  expect(used).toEqual([["counts early", { inputTokens: 7, outputTokens: 13 }, true]])
})
