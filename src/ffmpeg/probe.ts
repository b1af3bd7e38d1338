import { Effect, Either } from "effect"
import type { StartFfmpeg } from "./sandbox.ts"

/** Of a start, which takes 60 to 130 ms, and seconds from a slow disk on a busy machine. */
const patience = "30 seconds"

/**
 * The version of an ffmpeg that runs here, started as for a recording: what can't be had within its bounds, or can't be
 * bounded, is seen too. Fails with why not, in words that end no sentence.
 */
export const tryFfmpeg = (start: StartFfmpeg): Effect.Effect<string, string> =>
  Effect.acquireUseRelease(
    Effect.try({ try: () => start(["-version"]), catch: wordsOf }),
    ({ stdout, ended }) =>
      Effect.tryPromise({
        try: () => Promise.all([new Response(stdout).text(), ended()]),
        catch: wordsOf,
      }),
    ({ kill }) => Effect.promise(kill),
  ).pipe(
    Effect.flatMap(([said, ending]) => {
      const version = /^ffmpeg version (\S+)/.exec(said)?.[1]
      if (Either.isRight(ending)) return Either.fromNullable(version, () => "it does not tell its version")
      return Either.left("said" in ending.left ? wordsOf(ending.left.said) : "it was killed")
    }),
    Effect.timeoutFail({ duration: patience, onTimeout: () => `it did not start within ${patience}` }),
  )

/** On one line. */
const wordsOf = (error: unknown) =>
  (error instanceof Error ? error.message : `${error}`).replaceAll(/\s+/g, " ").trim()
