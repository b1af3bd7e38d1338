import { Effect } from "effect"

/** In the order in which they are preferred. Each plays an MP3 from its stdin while it comes. */
const players: ReadonlyArray<{
  readonly needs: ReadonlyArray<string>
  readonly command: ReadonlyArray<string>
}> = [
  { needs: ["ffplay"], command: ["ffplay", "-nodisp", "-autoexit", "-loglevel", "quiet", "-i", "pipe:0"] },
  { needs: ["mpg123"], command: ["mpg123", "-q", "-"] },
  // It plays no MP3 itself.
  { needs: ["aplay", "ffmpeg"], command: ["sh", "-c", "ffmpeg -v error -i pipe:0 -f wav pipe:1 | aplay -q"] },
  // It reads files alone.
  {
    needs: ["afplay"],
    command: ["sh", "-c", 'f=$(mktemp) && trap \'rm -f "$f"\' EXIT && cat > "$f" && afplay "$f"'],
  },
]

export interface Player {
  readonly play: (bytes: Uint8Array) => void
  /** Once all was played. */
  readonly ended: Effect.Effect<void>
}

/** Plays as it comes; undefined where this machine has nothing that does. It falls silent with the scope. */
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
  // One that is closed early is the listener's own wish.
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
