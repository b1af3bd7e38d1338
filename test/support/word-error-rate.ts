/** Wrong, missing and added words as a share of the words that were said. */
export const wordErrorRate = (said: string, heard: string): number => {
  const words = (text: string) =>
    text
      .toLowerCase()
      .replace(/\bmr\b/g, "mister")
      .match(/[a-z']+/g) ?? []
  const wanted = words(said)
  let row = Array.from({ length: wanted.length + 1 }, (_, index) => index)
  for (const [at, word] of words(heard).entries()) {
    const next = [at + 1]
    for (const [index, want] of wanted.entries()) {
      next.push(
        Math.min(
          (row[index + 1] ?? 0) + 1,
          (next[index] ?? 0) + 1,
          (row[index] ?? 0) + (want === word ? 0 : 1),
        ),
      )
    }
    row = next
  }
  return (row[wanted.length] ?? 0) / wanted.length
}
