/**
 * Measures turns against a scripted upstream of a known latency. The service and the upstream are processes of their
 * own; rows are printed as they are measured, the tables at the end. `bun run bench --help` shows the options.
 */
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { imageFfmpeg } from "../ffmpeg.ts"
import { runCommand } from "./command.ts"
import { measureHearing, measureSilero, measureSpeaking, measureTurns, turnEngines } from "./engines.ts"
import { enginesSection, enginesVerdicts, hearingTable, speakingTable, turnsTable } from "./engines-report.ts"
import type { Figures } from "./figures.ts"
import { busyShare, describeMachine } from "./machine.ts"
import { type Options, readOptions, usage } from "./options.ts"
import { takeWarnings } from "./programs.ts"
import { measureRealtime } from "./realtime/measure.ts"
import { realtimeSection, realtimeTables } from "./realtime/report.ts"
import * as text from "./report.ts"
import { floorsOf, runAtOnce, runPaced } from "./runs.ts"
import { docs, replaceSection, sectionOf, writeSection } from "./section.ts"
import { measureStart } from "./start.ts"
import { startSection, startTable, startVerdicts } from "./start-report.ts"
import { drawWaterfall } from "./svg.ts"
import { atOnceColumns, type Column, headOf, pacedColumns, rowOf } from "./table.ts"
import { sequentialLane, turnLane } from "./waterfall.ts"

/** Below a row, what went wrong in it. */
const printTrouble = (what: string, counts: ReadonlyMap<string, number>) => {
  for (const [text, count] of counts) console.log(`  ${count} x ${what}: ${text}`)
}

/** Clients of the whole turns on the offline engines, and how many turns they take at least. */
const [offlineClients, offlineTurns] = [[1, 4], 20]

const benchEngines = async ({ write }: Options) => {
  const machine = describeMachine()
  const othersBefore = await busyShare()
  const hearing = await measureHearing()
  console.log(hearingTable(hearing))
  const speaking = await measureSpeaking()
  console.log(`\n${speakingTable(speaking)}`)
  const sileroMb = await measureSilero()
  const turns = await measureTurns(offlineClients, offlineTurns)
  console.log(`\n${turnsTable(turns)}`)
  const measured = { hearing, speaking, sileroMb, engines: turnEngines, turns }
  const report = { machine, othersBefore, othersAfter: await busyShare(), ...measured }
  console.log(`\n${enginesVerdicts(report)}\n\nMeanwhile ${text.describeOthers(report)}`)
  if (!write) return 0
  await writeSection("engines", enginesSection(report), "benchmarks.md")
  console.log("\nWritten: docs/benchmarks.md")
  return 0
}

const benchRealtime = async ({ write }: Options) => {
  const machine = describeMachine()
  const othersBefore = await busyShare()
  const rows = await measureRealtime((row) => {
    console.log(realtimeTables([row]))
    printTrouble("failed", row.failures)
    printTrouble("the service warned", takeWarnings())
  })
  const report = { machine, othersBefore, othersAfter: await busyShare(), rows }
  console.log(`\n${realtimeTables(rows)}\n\nMeanwhile ${text.describeOthers(report)}`)
  if (!write) return 0
  await writeSection("realtime", realtimeSection(report), "benchmarks.md")
  console.log("\nWritten: docs/benchmarks.md")
  return 0
}

const benchStart = async ({ write }: Options) => {
  const machine = describeMachine()
  const othersBefore = await busyShare()
  const figures = await measureStart()
  const report = { machine, othersBefore, othersAfter: await busyShare(), figures }
  console.log(
    `${startTable(figures)}\n\n${startVerdicts(figures)}\n\nMeanwhile ${text.describeOthers(report)}`,
  )
  if (!write) return 0
  await writeSection("start", startSection(report), "benchmarks.md")
  console.log("\nWritten: docs/benchmarks.md")
  return 0
}

const bench = async (given: Options, command: string) => {
  const built = await imageFfmpeg()
  const options = { ...given, ffmpeg: given.ffmpeg ?? built }
  if (options.engines) return benchEngines(options)
  if (options.realtime) return benchRealtime(options)
  if (options.start) return benchStart(options)
  const { latency, reply, warmMs } = options
  const machine = describeMachine()
  const othersBefore = await busyShare()
  const floors = floorsOf(latency, reply)
  console.log(`Machine: ${machine}
Upstream: ${text.describeLatency(latency)}
Reply: ${text.describeReply(reply)}
First byte at best: ${text.describeFloors(floors)}
`)

  const rows: Array<Figures> = []
  const printing = (columns: ReadonlyArray<Column>) => {
    console.log(headOf(columns))
    return (row: Figures) => {
      rows.push(row)
      console.log(rowOf(columns, row))
      printTrouble("failed", row.failures)
      printTrouble("the service warned", takeWarnings())
    }
  }
  const { idleMb, after, timed } = await runPaced(options, printing(pacedColumns))
  console.log("\nWith an upstream that answers at once:\n")
  await runAtOnce(options, printing(atOnceColumns))

  const othersAfter = await busyShare()

  const results = {
    machine,
    othersBefore,
    othersAfter,
    command,
    latency,
    reply,
    warmMs,
    ffmpeg: given.ffmpeg ?? (built === undefined ? "this machine's" : "that of the image"),
    floors,
    rows,
    idleMb,
    after,
  }
  console.log(`
${text.pacedTable(results)}

${text.atOnceTable(results)}

Memory: ${text.describeMemory(results)}
Meanwhile ${text.describeOthers(results)}

${text.budgetTable(results)}`)

  if (!options.write) return 0
  const lanes = [turnLane(timed), sequentialLane(latency, reply)]
  await mkdir(docs, { recursive: true })
  await Bun.write(join(docs, "turn-waterfall.svg"), drawWaterfall("The stages of one spoken turn", lanes))
  const page = Bun.file(join(docs, "benchmarks.md"))
  const before = (await page.exists()) ? await page.text() : ""
  const sections = ["start", "engines", "realtime"]
  await page.write(
    sections.reduce(
      (written, name) => replaceSection(written, name, sectionOf(before, name)),
      text.writeReport(results),
    ),
  )
  console.log("\nWritten: docs/benchmarks.md, docs/turn-waterfall.svg")
  return 0
}

await runCommand("bench", { usage, read: readOptions, run: bench })
