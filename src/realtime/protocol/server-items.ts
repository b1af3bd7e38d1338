/** `completed`, or `incomplete` where it was cut off. Stock clients drop an item with another status. */
export type ItemStatus = "completed" | "incomplete" | "in_progress"

interface Common {
  readonly id: string
  readonly object: "realtime.item"
  readonly status: ItemStatus
}

export type MessagePart =
  | { readonly type: "input_text"; readonly text: string }
  /** `transcript` is always there: a stock client throws where it is absent. Null until the speech is transcribed. */
  | { readonly type: "input_audio"; readonly transcript: string | null }
  | { readonly type: "output_text"; readonly text: string }
  | { readonly type: "output_audio"; readonly transcript: string }

/** An item as clients see it, without its audio. */
export type Item =
  | (Common & {
      readonly type: "message"
      readonly role: "system" | "user" | "assistant"
      readonly content: ReadonlyArray<MessagePart>
    })
  | (Common & {
      readonly type: "function_call"
      readonly call_id: string
      readonly name: string
      /** JSON. Never empty once the call is complete: a stock client throws at "". */
      readonly arguments: string
    })
  | (Common & { readonly type: "function_call_output"; readonly call_id: string; readonly output: string })

/**
 * A call that the service ran, as OpenAI shows those of an MCP server. It is output of a response, but no item of the
 * conversation that clients see: LiveKit's client throws at such an item, and the Agents SDK asks for another response.
 */
export interface ServedCall {
  readonly id: string
  readonly object: "realtime.item"
  readonly type: "mcp_call"
  /** OpenAI's name of the server; here always the same. */
  readonly server_label: "voice-agent"
  readonly name: string
  /** JSON. */
  readonly arguments: string
  /** Null, not absent, until the call returns: a stock client throws where it is absent. */
  readonly output: string | null
  readonly error: { readonly type: "tool_execution_error"; readonly message: string } | null
}
