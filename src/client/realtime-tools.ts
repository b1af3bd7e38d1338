import type { ToolCall } from "./model.ts"
import { runCall, type ToolFunctions } from "./tools.ts"

export interface ToolRunnerOptions {
  readonly tools: ToolFunctions
  readonly send: (event: object) => void
  /** A response that is made now does not know the results. One that is asked for meanwhile is refused. */
  readonly isBusy: () => boolean
}

/** Runs the calls of responses, and asks for the response that knows the results. */
export interface ToolRunner {
  readonly run: (calls: ReadonlyArray<ToolCall>) => void
  /** A response has begun: it knows the results that were sent before. */
  readonly answered: () => void
  /** Asks for the response that is due, as soon as there is nothing to wait for. */
  readonly settle: () => void
  readonly close: () => void
}

export const makeToolRunner = ({ tools, send, isBusy }: ToolRunnerOptions): ToolRunner => {
  const ending = new AbortController()
  let isDue = false

  const settle = () => {
    if (!isDue || isBusy() || ending.signal.aborted) return
    isDue = false
    send({ type: "response.create" })
  }

  const answer = async (calls: ReadonlyArray<ToolCall>) => {
    const results = await Promise.all(calls.map((call) => runCall(tools, call, ending.signal)))
    if (ending.signal.aborted) return
    for (const { callId, output, isError } of results) {
      const told = output.trim() === "" ? "The tool failed." : `The tool failed: ${output}`
      send({
        type: "conversation.item.create",
        item: { type: "function_call_output", call_id: callId, output: isError ? told : output },
      })
    }
    isDue = true
    settle()
  }

  return {
    run: (calls) => {
      if (calls.length > 0) void answer(calls)
    },
    answered: () => {
      isDue = false
    },
    settle,
    close: () => ending.abort(),
  }
}
