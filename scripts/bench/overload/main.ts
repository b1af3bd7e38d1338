/**
 * Shows that accepted turns keep their pace while several times as many turns arrive.
 * `bun run overload --help` shows the options.
 */
import { runCommand } from "../command.ts"
import { busyShare, describeMachine } from "../machine.ts"
import { writeSection } from "../section.ts"
import { type Options, readOptions, usage } from "./options.ts"
import { describe, describeRow } from "./report.ts"
import { overload } from "./run.ts"
import { verdictsOf } from "./verdict.ts"

/** The exit code: 0 if every limit is met. */
const main = async (options: Options, command: string) => {
  const machine = describeMachine()
  const othersBefore = await busyShare()
  const loads = await overload(options, (row) => console.log(describeRow(row)))
  const text = describe({ loads, machine, command, othersBefore, othersAfter: await busyShare() })
  console.log(`\n${text}`)
  if (options.write) {
    await writeSection("overload", text)
    console.log("\nWritten: docs/reliability.md")
  }
  return verdictsOf(loads).every(({ verdict }) => verdict === "met") ? 0 : 1
}

await runCommand("overload", { usage, read: readOptions, run: main })
