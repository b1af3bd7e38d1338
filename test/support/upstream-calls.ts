/** The calls that the scripted upstream received, and how a test waits for one. */
import type { Spoken } from "./upstream-audio.ts"
import type { LlmRequest, SttRequest, TtsRequest } from "./upstream-requests.ts"
import type { Stage } from "./upstream-steps.ts"

/** The request of each stage. */
export interface Requests {
  readonly stt: SttRequest
  readonly llm: LlmRequest
  readonly tts: TtsRequest
}

/**
 * - `answered`: a whole 2xx went out.
 * - `failed`: as scripted, an error status or an answer broken off; or dropped by `reset()` and `stop()`.
 * - `aborted by client`: it closed the connection before the answer was complete.
 */
export type Outcome = "open" | "answered" | "failed" | "aborted by client"

/** All times are `performance.now()` of this process, in ms. */
export interface Call<R = SttRequest | LlmRequest | TtsRequest> {
  /** In order of arrival, over all stages, from 0. */
  readonly id: number
  readonly stage: Stage
  /** The connection it came by, in the order in which they were opened, from 0. */
  readonly connection: number
  readonly request: R
  readonly headers: Readonly<Record<string, string>>
  /** When the request was complete. */
  readonly at: number
  outcome: Outcome
  status?: number
  headersAt?: number
  endedAt?: number
  /** Every part of the body as it was sent; `token` for chat's content. */
  readonly sent: Sent[]
  /** What was spoken, for a default TTS answer. */
  spoken?: Spoken
}

export interface Sent {
  readonly at: number
  readonly bytes: number
  readonly token?: string
}

/** A wrong request of the client, such as one to a path that does not exist. */
export interface Refusal {
  readonly method: string
  readonly path: string
  readonly status: number
  readonly message: string
}

/** Re-examines conditions whenever something happens, instead of polling. */
export class Watch {
  #checks = new Set<() => void>()

  readonly changed = () => {
    for (const check of this.#checks) check()
  }

  /** Resolves with the first truthy value of `look`; rejects after `timeoutMs`, naming `what`. */
  for<T>(look: () => T, what: string, timeoutMs: number): Promise<NonNullable<T>> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#checks.delete(check)
        reject(new Error(`waited ${timeoutMs} ms in vain for ${what}`))
      }, timeoutMs)
      const check = () => {
        const found = look()
        if (!found) return
        clearTimeout(timer)
        this.#checks.delete(check)
        resolve(found)
      }
      this.#checks.add(check)
      check()
    })
  }
}
