import { timingSafeEqual } from "node:crypto"
import { Effect, Option, Redacted, Schema } from "effect"
import type { RegistrationMode } from "../config.ts"
import { sha256 } from "../hash.ts"
import { Email } from "./email.ts"
import { InvalidRegistrationToken, RegistrationClosed } from "./errors.ts"

/** The body of a registration. The token may come in a header instead. */
export const RegistrationRequest = Schema.Struct({
  email: Email,
  registrationToken: Schema.optional(
    // The message must not repeat the value, which may be the token.
    Schema.String.annotations({
      message: () => ({ message: "must be a string", override: true }),
      description:
        "The registration token, if this server requires one. It may be sent in X-Registration-Token instead.",
    }),
  ),
}).annotations({ message: () => "must be an object" })
export type RegistrationRequest = typeof RegistrationRequest.Type

/** Constant-time. Comparing the hashes gives both sides the same length, which timingSafeEqual requires. */
const isSame = (given: string, token: Redacted.Redacted) =>
  timingSafeEqual(Buffer.from(sha256(given)), Buffer.from(sha256(Redacted.value(token))))

/** Fails unless `mode` allows a registration with this token. */
export const authorizeRegistration = (
  mode: RegistrationMode,
  token: Option.Option<string>,
): Effect.Effect<void, RegistrationClosed | InvalidRegistrationToken> => {
  switch (mode.mode) {
    case "open":
      return Effect.void
    case "closed":
      return new RegistrationClosed()
    case "token":
      return Option.exists(token, (given) => isSame(given, mode.token))
        ? Effect.void
        : new InvalidRegistrationToken()
  }
}
