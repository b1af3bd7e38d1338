/** The part of a session's `turn_detection` that finds the ends of speech, in the protocol's own names. */
export type TurnDetection = ServerVad | SemanticVad

export interface ServerVad {
  readonly type: "server_vad"
  /** From 0 to 1. */
  readonly threshold: number
  readonly prefix_padding_ms: number
  readonly silence_duration_ms: number
}

export type Eagerness = "low" | "medium" | "high" | "auto"

interface SemanticVad {
  readonly type: "semantic_vad"
  readonly eagerness: Eagerness
}
