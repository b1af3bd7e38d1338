import { Either, Option, ParseResult, Predicate, Schema, Struct } from "effect"
import { unknownFieldOf } from "../decode-issues.ts"

const options = { onExcessProperty: "error", errors: "first" } as const

/**
 * The validator of a body that has the schema's fields and no others. A mistyped field would have no effect, and its default
 * may be what the client wants to avoid.
 *
 * @param readOnly Fields that the service shows beside those. They are ignored: a client may send back what it has read.
 */
export const strictBody = <A, I>(schema: Schema.Schema<A, I>, readOnly: ReadonlyArray<string> = []) => {
  const standard = Schema.standardSchemaV1(schema, options)
  const { validate, ...rest } = standard["~standard"]
  const decode = ParseResult.decodeUnknownEither(schema, options)
  const unknownField = (value: unknown) => Option.flatMap(Either.getLeft(decode(value)), unknownFieldOf)
  return Object.assign(standard, {
    "~standard": {
      ...rest,
      validate: (body: unknown): ReturnType<typeof validate> => {
        const value = Predicate.isRecord(body) ? Struct.omit(body, ...readOnly) : body
        return Option.match(unknownField(value), {
          onNone: () => validate(value),
          onSome: ({ path, known }) => ({
            issues: [{ path, message: `is not a field here; the fields are ${known.join(", ")}` }],
          }),
        })
      },
    },
  })
}
