import { Schema } from "effect"

/**
 * A name, an @ and a domain of two or more labels, without whitespace, control characters, lone surrogates and invisible
 * characters. Unicode counts some invisible ones as letters or symbols: default-ignorable code points (`\p{DI}`) and the
 * blank Braille pattern (U+2800).
 */
const pattern =
  /^[^\s\p{C}\p{DI}\u2800@"(),:;<>[\\\]]+@[^\s\p{C}\p{DI}\u2800@"(),:;<>[\\\].]+(\.[^\s\p{C}\p{DI}\u2800@"(),:;<>[\\\].]+)+$/u

/** In code points, as PostgreSQL counts characters. */
const maxLength = 255

/** The stored form of an address: trimmed, with composed accents (NFC). */
export const normalEmail = (text: string): string => text.trim().normalize("NFC")

const Normal = Schema.transform(Schema.String, Schema.String, {
  strict: true,
  decode: normalEmail,
  encode: (email) => email,
})

export const Email = Normal.pipe(
  Schema.filter((email) => pattern.test(email) && [...email].length <= maxLength, {
    jsonSchema: { type: "string", format: "email", maxLength },
    message: () => ({
      message: `must be an e-mail address of at most ${maxLength} characters`,
      override: true,
    }),
  }),
)

/** Ignores case, as the database's unique index does. */
export const isSameEmail = (one: string, other: string): boolean =>
  normalEmail(one).toLowerCase() === normalEmail(other).toLowerCase()
