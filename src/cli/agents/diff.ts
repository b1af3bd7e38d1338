const linesOf = (text: string) => (text === "" ? [] : text.trimEnd().split("\n"))

/**
 * The lines of two texts that differ, with `- ` and `+ ` before them, and up to two equal lines around with two spaces. By the
 * longest common subsequence: it takes the product of the numbers of lines, which are a few thousand at most.
 */
export const diffLines = (before: string, after: string): ReadonlyArray<string> => {
  const [old, young] = [linesOf(before), linesOf(after)]
  const width = young.length + 1
  /** Of the rest from each pair of lines on. */
  const lengths = new Uint32Array((old.length + 1) * width)
  const at = (i: number, j: number) => lengths[i * width + j] ?? 0
  for (let i = old.length - 1; i >= 0; i -= 1) {
    for (let j = young.length - 1; j >= 0; j -= 1) {
      lengths[i * width + j] =
        old[i] === young[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1))
    }
  }
  const lines: Array<string> = []
  let [i, j] = [0, 0]
  while (i < old.length || j < young.length) {
    if (i < old.length && old[i] === young[j]) {
      lines.push(`  ${old[i]}`)
      i += 1
      j += 1
    } else if (j >= young.length || (i < old.length && at(i + 1, j) >= at(i, j + 1))) {
      lines.push(`- ${old[i]}`)
      i += 1
    } else {
      lines.push(`+ ${young[j]}`)
      j += 1
    }
  }
  const isNear = (place: number) =>
    lines.slice(Math.max(0, place - context), place + context + 1).some((line) => !line.startsWith("  "))
  return lines.filter((_, place) => isNear(place))
}

/** Equal lines around each difference. */
const context = 2
