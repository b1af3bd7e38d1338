import { Effect, Either } from "effect"
import type { StartFfmpeg } from "./sandbox.ts"

/** A start takes 60 to 130 ms, but seconds from a slow disk on a busy machine. */
const timeout = "30 seconds"

/**
 * Runs `ffmpeg -version` in the sandbox, so that an ffmpeg that needs more than its limits fails here too. Returns the
 * version. Fails with the reason, as a clause without a full stop.
 */
export const probeFfmpeg = (start: StartFfmpeg): Effect.Effect<string, string> =>
  Effect.acquireUseRelease(
    Effect.try({ try: () => start(["-version"]), catch: messageOf }),
    ({ stdout, ended }) =>
      Effect.tryPromise({
        try: () => Promise.all([new Response(stdout).text(), ended()]),
        catch: messageOf,
      }),
    ({ kill }) => Effect.promise(kill),
  ).pipe(
    Effect.flatMap(([output, ending]) => {
      const version = /^ffmpeg version (\S+)/.exec(output)?.[1]
      if (Either.isRight(ending)) return Either.fromNullable(version, () => "it does not print its version")
      return Either.left("message" in ending.left ? messageOf(ending.left.message) : "it was killed")
    }),
    Effect.timeoutFail({ duration: timeout, onTimeout: () => `it did not start within ${timeout}` }),
  )

/** On one line. */
const messageOf = (error: unknown) =>
  (error instanceof Error ? error.message : `${error}`).replaceAll(/\s+/g, " ").trim()
