/**
 * Loads the service for a long time with everything that clients and providers do, at random, and checks that memory,
 * files, processes and connections return to their level. `bun run soak --help` shows the options.
 */
import { join } from "node:path"
import { runCommand } from "../command.ts"
import { busyShare, describeMachine } from "../machine.ts"
import { docs, writeSection } from "../section.ts"
import { type Options, readOptions, usage } from "./options.ts"
import { describe, picture } from "./report.ts"
import { soak } from "./run.ts"
import { isGood, verdictsOf } from "./verdict.ts"

/** The exit code: 0 if every limit is met. */
const main = async (options: Options, command: string) => {
  const machine = describeMachine()
  console.log(`Machine: ${machine}\nSeed: ${options.seed}`)
  const othersBefore = await busyShare()
  const run = await soak(options, console.log)
  const report = { run, machine, seed: options.seed, command, othersBefore, othersAfter: await busyShare() }
  const text = describe(report)
  console.log(`\n${text}`)
  if (options.write) {
    await Bun.write(join(docs, "soak-memory.svg"), picture(run))
    await writeSection("soak", text)
    console.log("\nWritten: docs/reliability.md, docs/soak-memory.svg")
  }
  const good = isGood(verdictsOf(run))
  console.log(good ? "\nAll limits are met." : "\nSome limits are not met.")
  return good ? 0 : 1
}

await runCommand("soak", { usage, read: readOptions, run: main })
