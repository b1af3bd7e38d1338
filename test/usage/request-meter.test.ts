import { expect, test } from "bun:test"
import { ModelEvent } from "../../src/providers/language-model.ts"
import { makeRequestMeter, type Tokens } from "../../src/usage/request-meter.ts"

const start = () => {
  const used: Array<readonly [string | undefined, Tokens]> = []
  const meter = makeRequestMeter(
    () => 100,
    (served, tokens) => used.push([served?.model, tokens]),
  )
  return { ...meter, used, request: (model: string) => meter.onRequest({ model, isLocal: false }) }
}
const writes = (text: string) => ModelEvent.Text({ text })

test("the fallback is not counted with the tokens of the server before it", () => {
  const { used, request, onEvent, end, tokens } = start()
  request("first")
  onEvent(writes("12345678"))
  onEvent(ModelEvent.Usage({ inputTokens: 900, outputTokens: 90 }))
  request("second")
  onEvent(writes("1234"))
  end()
  end()
  expect(used).toEqual([
    ["first", { inputTokens: 900, outputTokens: 90 }],
    ["second", { inputTokens: 100, outputTokens: 1 }],
  ])
  expect(tokens()).toEqual({ inputTokens: 100, outputTokens: 1 })
})

test("a request whose model has not begun is free", () => {
  const { used, request, onEvent, end } = start()
  request("refuses")
  request("is busy")
  onEvent(ModelEvent.Alive({ isThinking: false }))
  request("thinks")
  onEvent(ModelEvent.Alive({ isThinking: true }))
  end()
  expect(used).toEqual([["thinks", { inputTokens: 100, outputTokens: 0 }]])
})

test("what the model retracts and its calls are paid", () => {
  const { used, onEvent, end } = start()
  onEvent(writes("1234"))
  onEvent(ModelEvent.Retract())
  onEvent(ModelEvent.ToolCall({ callId: "1", name: "door", arguments: "{}  " }))
  end()
  expect(used).toEqual([[undefined, { inputTokens: 100, outputTokens: 3 }]])
})
