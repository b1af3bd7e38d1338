import { structuredPatch } from "diff"

/** Each with its end: a last line without one would count as another. */
const linesOf = (text: string) =>
  text === ""
    ? []
    : text
        .trimEnd()
        .split("\n")
        .map((line) => `${line}\n`)

/** Equal lines around each difference. */
const context = 2

/** Lines that differ, at most, for a comparison: it takes up to their square in time and memory. */
const maxEditLength = 1000

/**
 * The lines of two texts that differ, with `- ` and `+ ` before them, and up to two equal lines around with two spaces. Texts
 * that have more than 1000 such lines are there in whole.
 */
export const diffLines = (before: string, after: string): ReadonlyArray<string> => {
  const [old, young] = [linesOf(before), linesOf(after)]
  const patch = structuredPatch("", "", old.join(""), young.join(""), undefined, undefined, {
    context,
    maxEditLength,
  })
  const lines =
    patch === undefined
      ? [...old.map((line) => `-${line.slice(0, -1)}`), ...young.map((line) => `+${line.slice(0, -1)}`)]
      : patch.hunks.flatMap((hunk) => hunk.lines)
  return lines.map((line) => `${line.slice(0, 1)} ${line.slice(1)}`)
}
