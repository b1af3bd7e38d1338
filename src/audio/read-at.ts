import { Effect } from "effect"

/** Bytes of a file from `start`: at most `length`, fewer at its end. */
export const readAt = (path: string, start: number, length: number) =>
  Effect.promise(() =>
    Bun.file(path)
      .slice(start, start + length)
      .bytes(),
  )
