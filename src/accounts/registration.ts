import { timingSafeEqual } from "node:crypto"
import { Effect, Option, Redacted, Schema } from "effect"
import { Settings } from "../config.ts"
import { sha256 } from "../hash.ts"
import { Email } from "./email.ts"

/** The body of a registration. The token may come in a header instead. */
export const Registration = Schema.Struct({
  email: Email,
  registrationToken: Schema.optional(
    // What a wrong field is told never repeats it: it may be the token.
    Schema.String.annotations({
      message: () => ({ message: "must be a text", override: true }),
      description: "The operator's, where registration takes one. May come as X-Registration-Token instead.",
    }),
  ),
}).annotations({ message: () => "must be an object" })

/** Nobody can register by themselves. */
export class RegistrationClosed extends Schema.TaggedError<RegistrationClosed>()("RegistrationClosed", {}) {}

/** Registration wants a token, and this is not it. */
export class InvalidRegistrationToken extends Schema.TaggedError<InvalidRegistrationToken>()(
  "InvalidRegistrationToken",
  {},
) {}

const hash = (text: string) => Buffer.from(sha256(text))

/** As long for any guess: their hashes are of one length, which the comparison needs, and tell nothing of the tokens. */
const isSame = (given: string, token: Redacted.Redacted) =>
  timingSafeEqual(hash(given), hash(Redacted.value(token)))

/** Whether somebody who has this token, or none, may register here. */
export const makeAdmission = Effect.map(
  Settings,
  ({ registration }) =>
    (token: Option.Option<string>): Effect.Effect<void, RegistrationClosed | InvalidRegistrationToken> => {
      switch (registration.mode) {
        case "open":
          return Effect.void
        case "closed":
          return new RegistrationClosed()
        case "token":
          return Option.exists(token, (given) => isSame(given, registration.token))
            ? Effect.void
            : new InvalidRegistrationToken()
      }
    },
)
