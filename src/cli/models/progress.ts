import type { Progress } from "../../models/pull.ts"

/** A part of a download. */
const percent = ({ received, size }: Progress) => (size === 0 ? 100 : Math.floor((received / size) * 100))

const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1)

const lineOf = (progress: Progress) =>
  `${progress.model}  ${progress.item}  ${megabytes(progress.received)} of ${megabytes(progress.size)} MB  ${percent(progress)} %`

/** ms between two updates of a terminal's line. */
const refresh = 100
/** Percent between two lines where the output is no terminal. */
const step = 25

export interface ProgressPrinter {
  readonly onProgress: (progress: Progress) => void
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
  const onTerminal = (progress: Progress) => {
    if (now() - printedAt < refresh && progress.received < progress.size) return
    printedAt = now()
    isOpen = true
    // Erases the rest of a longer line.
    write(`\r${lineOf(progress)}\x1b[K`)
  }
  const inLines = (progress: Progress) => {
    const item = `${progress.model}/${progress.item}`
    const quarter = Math.floor(percent(progress) / step)
    if (item === printed.item && quarter <= printed.quarter) return
    printed = { item, quarter }
    write(`${kind === "json" ? JSON.stringify({ event: "progress", ...progress }) : lineOf(progress)}\n`)
  }
  return {
    onProgress: kind === "terminal" ? onTerminal : inLines,
    end: () => {
      if (isOpen) write("\n")
      isOpen = false
    },
  }
}
