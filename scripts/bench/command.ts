import { close, isClosed } from "./programs.ts"

/** How long what a command has begun may take to end when it is told to stop, in ms. */
const patienceMs = 15_000

interface Command<Options> {
  readonly usage: string
  /** Throws a sentence where an argument is unknown or wrong. */
  readonly read: (args: ReadonlyArray<string>) => Options
  /** Resolves with the exit code. `line`: by which it was called, to be called so again. */
  readonly run: (options: Options, line: string) => Promise<number>
}

/** Runs a bench as `bun run NAME`, and leaves nothing behind that it started, when it is told to stop as well. */
export const runCommand = async <Options>(
  name: string,
  { usage, read, run }: Command<Options>,
): Promise<void> => {
  const args = process.argv.slice(2)
  if (args.includes("--help")) {
    console.log(usage)
    return
  }
  const parsed = (): Options => {
    try {
      return read(args)
    } catch (error) {
      console.error(`${error instanceof Error ? error.message : error}\n\n${usage}`)
      process.exit(1)
    }
  }
  const running = run(parsed(), [`bun run ${name}`, ...args.map(Bun.$.escape)].join(" "))
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    process.once(signal, async () => {
      // What is in flight fails when its service is stopped: that is no news.
      const over = running.catch(() => undefined)
      await close()
      await Promise.race([over, Bun.sleep(patienceMs)])
      process.exit(code)
    })
  }
  try {
    process.exitCode = await running
  } catch (error) {
    if (!isClosed()) throw error
  }
}
