import { Schema } from "effect"

/** A query parameter from 1 to `max`. */
export const wholeNumber = (max: number, byDefault: number) =>
  Schema.optionalWith(
    Schema.compose(
      Schema.String.pipe(
        Schema.pattern(/^\d+$/, {
          jsonSchema: { type: "integer", minimum: 1, maximum: max, default: byDefault },
        }),
      ),
      Schema.NumberFromString,
    ).pipe(
      Schema.between(1, max, {
        message: () => ({ message: `must be a whole number from 1 to ${max}`, override: true }),
      }),
    ),
    { default: () => byDefault },
  )
