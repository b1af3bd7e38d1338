import { Effect, Option } from "effect"
import { ValidationFailed } from "./errors.ts"

/** 255 characters is Stripe's limit. Visible ASCII fits in every log and header. */
const isKey = (key: string) => /^[!-~]{1,255}$/.test(key)

/** The Idempotency-Key of a request. */
export const idempotencyKey = (request: Request) =>
  Effect.transposeOption(
    Option.map(Option.fromNullable(request.headers.get("idempotency-key")), (key) =>
      isKey(key)
        ? Effect.succeed(key)
        : new ValidationFailed({ message: "Idempotency-Key: must be 1 to 255 visible ASCII characters" }),
    ),
  )
