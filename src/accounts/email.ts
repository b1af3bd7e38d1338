import { Schema } from "effect"

/**
 * A name, an @ and a domain of two labels or more; without space, control, half and invisible characters. Of these last
 * some count as letters or signs: what Unicode says to ignore where it can't be shown, and the empty pattern of Braille.
 */
const pattern =
  /^[^\s\p{C}\p{DI}\u2800@"(),:;<>[\\\]]+@[^\s\p{C}\p{DI}\u2800@"(),:;<>[\\\].]+(\.[^\s\p{C}\p{DI}\u2800@"(),:;<>[\\\].]+)+$/u

/** In characters, as PostgreSQL counts them. */
const longest = 255

/** However it is typed, an address has one form: without space around it, its accents composed. */
export const normalEmail = (text: string): string => text.trim().normalize("NFC")

const Normal = Schema.transform(Schema.String, Schema.String, {
  strict: true,
  decode: normalEmail,
  encode: (email) => email,
})

export const Email = Normal.pipe(
  Schema.filter((email) => pattern.test(email) && [...email].length <= longest, {
    jsonSchema: { type: "string", format: "email", maxLength: longest },
    message: () => ({
      message: `must be an e-mail address of at most ${longest} characters`,
      override: true,
    }),
  }),
)

/** As the database compares them. */
export const isSameEmail = (one: string, other: string): boolean =>
  normalEmail(one).toLowerCase() === normalEmail(other).toLowerCase()
