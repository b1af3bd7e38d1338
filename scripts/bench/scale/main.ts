/**
 * Shows how the service grows with its processes, and what a turn costs the database. `bun run scale --help` shows the
 * options.
 */
import { parseArgs } from "node:util"
import { runCommand } from "../command.ts"
import { defaultReply } from "../latency.ts"
import { busyShare, describeMachine } from "../machine.ts"
import { takeWarnings } from "../programs.ts"
import { writeSection } from "../section.ts"
import { headOfRows, lineOf, scaleSection } from "./report.ts"
import { measureScale } from "./run.ts"

const usage = `Usage: bun run scale [options]

  --seconds 10   how long each row is measured at least
  --clients 24   concurrent clients
  --write        write the section of docs/scaling.md`

interface ScaleOptions {
  readonly ms: number
  readonly clients: number
  readonly write: boolean
}

const readOptions = (args: ReadonlyArray<string>): ScaleOptions => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: "string", default: "10" },
      clients: { type: "string", default: "24" },
      write: { type: "boolean", default: false },
    },
  })
  const [seconds, clients] = [Number(values.seconds), Number(values.clients)]
  if (!(seconds >= 1)) throw new Error("--seconds must be a number from 1.")
  if (!Number.isInteger(clients) || clients < 1) throw new Error("--clients must be a whole number from 1.")
  return { ms: seconds * 1000, clients, write: values.write }
}

const main = async ({ write, ...options }: ScaleOptions, command: string) => {
  const machine = describeMachine()
  const othersBefore = await busyShare()
  console.log(headOfRows)
  const measured = await measureScale({ ...options, reply: defaultReply }, (row) => {
    console.log(lineOf(row))
    for (const [text, count] of takeWarnings()) console.log(`  ${count} x the service warned: ${text}`)
  })
  const section = scaleSection({
    ...measured,
    machine,
    command,
    othersBefore,
    othersAfter: await busyShare(),
  })
  console.log(`\n${section}`)
  if (write) {
    await writeSection("scale", section, "scaling.md")
    console.log("\nWritten: docs/scaling.md")
  }
  return measured.rows.some(({ failed }) => failed > 0) ? 1 : 0
}

await runCommand("scale", { usage, read: readOptions, run: main })
