import { Effect, Option, Schema, Stream } from "effect"

/** Rows in memory at a time, of sessions (at most 16 KB each) and of one session's messages. */
export const pageSize = 200

/** Encodes the fields of `schema` as JSON, without the row's other columns. */
export const jsonOf = <A, I>(schema: Schema.Schema<A, I>) => {
  const encode = Schema.encodeUnknownSync(schema)
  return (row: unknown) => JSON.stringify(encode(row))
}
/** The next page of messages, items or turns begins after `sequence`. */
export const Position = Schema.Struct({ sequence: Schema.String })

/** Below the position of every row. An item inserted at the start of its conversation may be below 0. */
const firstPosition = "-9223372036854775808"

/** The pages of a list, one after the other. */
export const pagesOf = <Row, At, E>(options: {
  /** Below the position of every row. */
  readonly first: At
  /** The position of a row: the next page begins after that of the last one. */
  readonly at: (row: Row) => At
  /** Rows of a full page. */
  readonly size?: number
  readonly page: (after: At) => Effect.Effect<ReadonlyArray<Row>, E>
}): Stream.Stream<ReadonlyArray<Row>, E> =>
  Stream.paginateEffect(options.first, (after) =>
    Effect.map(options.page(after), (rows) => [
      rows,
      Option.map(
        Option.fromNullable(rows.length < (options.size ?? pageSize) ? undefined : rows.at(-1)),
        options.at,
      ),
    ]),
  )

export const bySequence = { first: firstPosition, at: ({ sequence }: typeof Position.Type) => sequence }

/** A JSON list of the rows of all pages, between `open` and `close`. */
export const listOf = <E>(options: {
  readonly open: string
  readonly pages: Stream.Stream<ReadonlyArray<unknown>, E>
  readonly json: (row: unknown) => string
  readonly close: string
}): Stream.Stream<string, E> =>
  options.pages.pipe(
    Stream.filter((rows) => rows.length > 0),
    Stream.zipWithIndex,
    Stream.map(([rows, index]) => `${index === 0 ? "" : ","}${rows.map(options.json).join(",")}`),
    (list) => Stream.concat(Stream.make(options.open), Stream.concat(list, Stream.make(options.close))),
  )
