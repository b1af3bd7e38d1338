import { Effect } from "effect"

/** In order of preference. Each plays an MP3 from stdin while it arrives. */
const players: ReadonlyArray<{
  readonly needs: ReadonlyArray<string>
  readonly command: ReadonlyArray<string>
}> = [
  { needs: ["ffplay"], command: ["ffplay", "-nodisp", "-autoexit", "-loglevel", "quiet", "-i", "pipe:0"] },
  { needs: ["mpg123"], command: ["mpg123", "-q", "-"] },
  // aplay cannot decode MP3.
  { needs: ["aplay", "ffmpeg"], command: ["sh", "-c", "ffmpeg -v error -i pipe:0 -f wav pipe:1 | aplay -q"] },
  // afplay reads files only.
  {
    needs: ["afplay"],
    command: ["sh", "-c", 'f=$(mktemp) && trap \'rm -f "$f"\' EXIT && cat > "$f" && afplay "$f"'],
  },
]

/** In order of preference. Each plays a WAV from stdin while it arrives. */
const wavPlayers: ReadonlyArray<ReadonlyArray<string>> = [
  ["ffplay", "-nodisp", "-autoexit", "-loglevel", "quiet", "-i", "pipe:0"],
  ["play", "-q", "-t", "wav", "-"],
  ["aplay", "-q"],
]

/** A command that plays a WAV from stdin. */
export const wavPlayer = (): ReadonlyArray<string> | undefined =>
  wavPlayers.find(([program = ""]) => Bun.which(program) !== null)

export interface Player {
  readonly play: (bytes: Uint8Array) => void
  /** Completes when everything has been played. */
  readonly ended: Effect.Effect<void>
}

/** Starts a player; undefined if none is installed. Closing the scope stops it. */
export const startPlayer = Effect.gen(function* () {
  const player = players.find(({ needs }) => needs.every((program) => Bun.which(program) !== null))
  if (player === undefined) return undefined
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => Bun.spawn([...player.command], { stdin: "pipe", stdout: "ignore", stderr: "ignore" })),
    (child) =>
      Effect.promise(() => {
        child.kill()
        return child.exited
      }),
  )
  // The user may have closed the player.
  const quietly = async (write: () => unknown) => {
    try {
      await write()
    } catch {}
  }
  return {
    play: (bytes) => {
      quietly(() => child.stdin.write(bytes))
    },
    ended: Effect.promise(async () => {
      await quietly(() => child.stdin.end())
      await child.exited
    }),
  } satisfies Player
})
