import type { Pause, Progress } from "../../models/pull.ts"

/** A part of a download. */
const percent = ({ received, size }: Progress) => (size === 0 ? 100 : Math.floor((received / size) * 100))

const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1)

const lineOf = (progress: Progress) =>
  `${progress.model}  ${progress.item}  ${megabytes(progress.received)} of ${megabytes(progress.size)} MB  ${percent(progress)} %`

const pauseLine = ({ model, item, reason, seconds }: Pause) =>
  `${model}  ${item}  ${reason}: next attempt in ${seconds} s`

/** ms between two updates of a terminal's line. */
const refresh = 100
/** Percent between two lines where the output is no terminal. */
const step = 25

export interface ProgressPrinter {
  readonly onProgress: (progress: Progress) => void
  readonly onPause: (pause: Pause) => void
  /** Ends the line on a terminal. */
  readonly end: () => void
}

/**
 * Prints the progress of downloads: one line that changes on a terminal, otherwise a line per quarter of a download, or
 * JSON. `write` gets what is printed.
 */
export const makeProgressPrinter = (
  kind: "terminal" | "lines" | "json",
  write: (text: string) => void,
  now: () => number = Date.now,
): ProgressPrinter => {
  let printedAt = Number.NEGATIVE_INFINITY
  let printed = { item: "", quarter: -1 }
  let isOpen = false
  /** Erases the rest of a longer line. */
  const replaceLine = (line: string) => {
    isOpen = true
    write(`\r${line}\x1b[K`)
  }
  const onTerminal = (progress: Progress) => {
    if (now() - printedAt < refresh && progress.received < progress.size) return
    printedAt = now()
    replaceLine(lineOf(progress))
  }
  const inLines = (progress: Progress) => {
    const item = `${progress.model}/${progress.item}`
    const quarter = Math.floor(percent(progress) / step)
    if (item === printed.item && quarter <= printed.quarter) return
    printed = { item, quarter }
    write(`${kind === "json" ? JSON.stringify({ event: "progress", ...progress }) : lineOf(progress)}\n`)
  }
  const onPause = (pause: Pause) => {
    if (kind === "terminal") return replaceLine(pauseLine(pause))
    write(`${kind === "json" ? JSON.stringify({ event: "pause", ...pause }) : pauseLine(pause)}\n`)
  }
  return {
    onPause,
    onProgress: kind === "terminal" ? onTerminal : inLines,
    end: () => {
      if (isOpen) write("\n")
      isOpen = false
    },
  }
}
