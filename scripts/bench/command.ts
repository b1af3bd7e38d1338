import { close, isClosed } from "./programs.ts"

/** After a signal, how long the started programs may take to end, in ms. */
const stopTimeoutMs = 15_000

interface Command<Options> {
  readonly usage: string
  /** Throws a sentence where an argument is unknown or wrong. */
  readonly read: (args: ReadonlyArray<string>) => Options
  /** Resolves with the exit code. `line`: the command line, for the report. */
  readonly run: (options: Options, line: string) => Promise<number>
}

/** Runs a benchmark as `bun run NAME`. Ends everything that it started, also after a signal. */
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
      // Running turns fail when the service is stopped.
      const over = running.catch(() => undefined)
      await close()
      await Promise.race([over, Bun.sleep(stopTimeoutMs)])
      process.exit(code)
    })
  }
  try {
    process.exitCode = await running
  } catch (error) {
    if (!isClosed()) throw error
  }
}
