import { Schema } from "effect"

export class EmailTaken extends Schema.TaggedError<EmailTaken>()("EmailTaken", {}) {}

/** No user has this address. */
export class UserNotFound extends Schema.TaggedError<UserNotFound>()("UserNotFound", {}) {}

export class InvalidApiKey extends Schema.TaggedError<InvalidApiKey>()("InvalidApiKey", {
  /** `secret`: a client secret that is unknown or has expired. `secret-as-key`: one in the place of an API key. */
  reason: Schema.Literal("unknown", "expired", "revoked", "secret", "secret-as-key"),
}) {}

/** The user has no such key, or it has expired or been revoked. */
export class ApiKeyNotFound extends Schema.TaggedError<ApiKeyNotFound>()("ApiKeyNotFound", {}) {}

/** Without this key its user could not sign in again. */
export class LastApiKey extends Schema.TaggedError<LastApiKey>()("LastApiKey", {}) {}

export class TooManyApiKeys extends Schema.TaggedError<TooManyApiKeys>()("TooManyApiKeys", {
  max: Schema.Number,
}) {}

export class TooManyClientSecrets extends Schema.TaggedError<TooManyClientSecrets>()("TooManyClientSecrets", {
  max: Schema.Number,
}) {}

/** The user has no such memory. */
export class MemoryNotFound extends Schema.TaggedError<MemoryNotFound>()("MemoryNotFound", {}) {}
/** The user has no such secret of a tool. */
export class SecretNotFound extends Schema.TaggedError<SecretNotFound>()("SecretNotFound", {}) {}

export class TooManySecrets extends Schema.TaggedError<TooManySecrets>()("TooManySecrets", {
  max: Schema.Number,
}) {}

/** REGISTRATION is closed: only the operator creates users. */
export class RegistrationClosed extends Schema.TaggedError<RegistrationClosed>()("RegistrationClosed", {}) {}

/** REGISTRATION is token, and the token is missing or wrong. */
export class InvalidRegistrationToken extends Schema.TaggedError<InvalidRegistrationToken>()(
  "InvalidRegistrationToken",
  {},
) {}

/** Every error of an account, except of the operator's commands. */
export type AccountError =
  | EmailTaken
  | InvalidApiKey
  | ApiKeyNotFound
  | LastApiKey
  | TooManyApiKeys
  | TooManyClientSecrets
  | MemoryNotFound
  | SecretNotFound
  | TooManySecrets
  | RegistrationClosed
  | InvalidRegistrationToken
