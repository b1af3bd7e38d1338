/** What goes over the wire, as it is on the wire: times are ISO 8601 in UTC, ids are UUIDs. */

/** Milliseconds; `firstAudio` and `total` count from the end of the upload, `llmTtft` and `ttsTtfb` from the request to that provider. */
export interface Timings {
  readonly upload: number
  readonly validate: number
  readonly transcode: number
  readonly stt: number
  readonly llmTtft: number
  readonly ttsTtfb: number
  readonly firstAudio: number
  readonly total: number
}

/** What a turn consumed. */
export interface Usage {
  readonly audioSeconds: number
  readonly inputTokens: number
  readonly outputTokens: number
  readonly charactersSpoken: number
}

/** A turn that is whole: both of its messages are saved. */
export interface Turn {
  readonly sessionId: string
  readonly turnId: string
  readonly transcript: string
  readonly response: string
  readonly timings: Timings
  readonly usage: Usage
}

export interface Session {
  readonly id: string
  readonly userId: string
  readonly title: string | null
  readonly metadata: Readonly<Record<string, unknown>>
  readonly createdAt: string
  readonly lastActivityAt: string
  /** Readable, but a turn that names it begins a new one. */
  readonly expired: boolean
}

export interface SessionPage {
  readonly sessions: ReadonlyArray<Session>
  /** Where the next page begins; null on the last one. */
  readonly nextCursor: string | null
}

export interface SessionDetails {
  /** Up to 200 characters; null clears it. */
  readonly title?: string | null
  /** Replaced as a whole. */
  readonly metadata?: Readonly<Record<string, unknown>>
}

export interface Message {
  readonly id: string
  readonly turnId: string
  readonly role: string
  readonly content: string
  /** The listener heard this much of it only. */
  readonly interrupted: boolean
  readonly createdAt: string
}

/** Whether the service can take turns, and what each stage of them runs on. */
export interface Readiness {
  readonly isReady: boolean
  readonly stages: Readonly<
    Record<"stt" | "llm" | "tts", { readonly engine: string; readonly model?: string }>
  >
}
