import { keyNotice } from "../../../accounts/api-key.ts"
import { maxPublicBodyBytes } from "../../body.ts"
import { PayloadTooLarge, ValidationFailed } from "../../errors.ts"
import { LoggedIn, Registered } from "../../payloads.ts"
import { registrationToken } from "../headers.ts"
import { describe, json } from "../operation.ts"

const tooLarge = new PayloadTooLarge({ maxBytes: maxPublicBodyBytes })
const userId = "0b6ad0f4-8a5c-4a4e-8f3b-7d5a1b7d0e11"
const email = "ada@example.com"
/** Looks like a key, but is none. */
export const exampleKey = `sk_${"0123456789abcdef".repeat(4)}`

const registration = (id: string, summary: string, description: string) =>
  describe({
    id,
    tag: "Access",
    isPublic: true,
    countedAs: "registrations",
    summary,
    description,
    headers: [registrationToken],
    example: { email },
    answers: [
      {
        status: 201,
        description: "The user and the first API key. The service shows the key only once.",
        headers: ["Cache-Control"],
        content: json(Registered, { userId, apiKey: exampleKey, message: keyNotice }),
      },
    ],
    failures: [
      tooLarge,
      new ValidationFailed({ message: "email: must be an e-mail address of at most 255 characters" }),
      "RegistrationClosed",
      "InvalidRegistrationToken",
      "EmailTaken",
      "DatabaseUnavailable",
      "ConstraintViolated",
    ],
  })

export const register = registration(
  "registerUser",
  "Register a user",
  "Creates a user with an API key. The operator decides who can register: everyone, holders of a registration token, or nobody.",
)
export const registerByAuth = registration(
  "registerByAuth",
  "Register a user (alias)",
  "The same as `POST /users/register`.",
)

export const login = describe({
  id: "login",
  tag: "Access",
  isPublic: true,
  countedAs: "logins",
  summary: "Check an API key",
  description:
    "Returns the owner of an API key. The key itself is the token: there is no other session to open.",
  example: { apiKey: exampleKey },
  answers: [
    {
      status: 200,
      description: "The key is valid.",
      headers: ["Cache-Control"],
      content: json(LoggedIn, { token: exampleKey, userId, email }),
    },
  ],
  failures: [
    tooLarge,
    new ValidationFailed({ message: "apiKey: must be an API key" }),
    "InvalidApiKey",
    "DatabaseUnavailable",
  ],
})
