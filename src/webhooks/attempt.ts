import { Array as Arr, Clock, Duration, Effect, Option } from "effect"
import { Encryption, readAndRenew } from "../db/encryption.ts"
import { explainToOwner, isOutboundError, outboundReason } from "../outbound/errors.ts"
import { Outbound, type OutboundAnswer } from "../outbound/outbound.ts"
import { parseRetryAfter } from "../outbound/retry-after.ts"
import { beginning } from "../text/bounds.ts"
import { toStorable } from "../text/well-formed.ts"
import { type Claimed, DeliveryQueue } from "./delivery-queue.ts"
import { signedHeaders } from "./signature.ts"
import { secretContext } from "./webhooks.ts"

/** For the whole request. An endpoint that works longer answers first. */
const timeout = Duration.seconds(15)

/** Characters of an answer that the log keeps. */
const answerLength = 500

/** What came of one request. */
export interface Attempt {
  readonly verdict: "delivered" | "gone" | "failed"
  readonly status: number | null
  readonly answer: string | null
  readonly error: string | null
  /** `error` for the operator's log. */
  readonly reason: string | null
  readonly retryAfter: Option.Option<Duration.Duration>
}

const unanswered = (error: string, reason = error): Attempt => ({
  verdict: "failed",
  status: null,
  answer: null,
  error,
  reason,
  retryAfter: Option.none(),
})

const nothingSaid = { transcript: null, response: null }

const judge = ({ status, headers, bytes }: OutboundAnswer): Attempt => ({
  verdict: status >= 200 && status < 300 ? "delivered" : status === 410 ? "gone" : "failed",
  status,
  answer: beginning(toStorable(new TextDecoder().decode(bytes)), answerLength),
  error: null,
  reason: null,
  retryAfter: parseRetryAfter(headers, false),
})

/** Makes one request of a delivery. What goes wrong is a failed attempt. */
export const makeAttempts = Effect.gen(function* () {
  const outbound = yield* Outbound
  const queue = yield* DeliveryQueue
  const encryption = yield* Encryption

  const secretsOf = Effect.fnUntraced(function* (delivery: Claimed) {
    const context = secretContext(delivery.webhookId)
    const newest = yield* readAndRenew(encryption, { stored: delivery.secret, context }, (renewed) =>
      queue.renewSecret(delivery, renewed),
    )
    // One that cannot be read signs no more. It would have been deleted soon.
    const old = yield* Effect.forEach(delivery.oldSecrets, (stored) =>
      Effect.option(encryption.decrypt(stored, context)),
    )
    return [newest, ...Arr.getSomes(old)]
  })

  const bodyOf = Effect.fnUntraced(function* (delivery: Claimed) {
    const { type, occurredAt, data, transcripts } = delivery
    const words =
      transcripts && type.startsWith("turn.")
        ? Option.getOrElse(yield* queue.words(delivery), () => nothingSaid)
        : {}
    return JSON.stringify({ type, timestamp: occurredAt.toISOString(), data: { ...data, ...words } })
  })

  return Effect.fn("Webhooks.attempt")(
    function* (delivery: Claimed) {
      const secrets = yield* secretsOf(delivery)
      const body = yield* bodyOf(delivery)
      const seconds = Math.floor((yield* Clock.currentTimeMillis) / 1000)
      const headers = {
        "content-type": "application/json",
        "user-agent": "voice-agent",
        ...signedHeaders(secrets, { id: delivery.id, seconds, body }),
      }
      return yield* outbound
        .request(
          { url: delivery.url, method: "POST", headers, body },
          // UTF-8 takes up to 4 bytes a character. A redirect would lose the signature, or the body.
          { timeout, maxBytes: 4 * answerLength, redirect: "manual" },
        )
        .pipe(Effect.map(judge))
    },
    Effect.catchTags({
      NotDecryptable: () => Effect.succeed(unanswered("The secret cannot be decrypted. Rotate it.")),
      EncryptionUnavailable: () =>
        Effect.succeed(unanswered("The secret cannot be decrypted at the moment.")),
    }),
    Effect.catchIf(isOutboundError, (error) =>
      Effect.succeed(unanswered(explainToOwner(error), outboundReason(error))),
    ),
  )
})
