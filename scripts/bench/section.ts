import { join } from "node:path"

/** Where the benches' pages lie. */
export const docs = join(import.meta.dir, "../../docs")

/**
 * A page with the section of this name written anew: what stands between its two marks. What was written by hand around
 * it stays. Throws where the page has no such marks.
 */
export const replaceSection = (page: string, name: string, content: string): string => {
  const [begin, end] = [`<!-- ${name}: begin -->`, `<!-- ${name}: end -->`]
  const [from, to] = [page.indexOf(begin), page.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`The page has no section "${name}".`)
  return `${page.slice(0, from + begin.length)}\n\n${content.trim()}\n\n${page.slice(to)}`
}

/** Writes a section of docs/reliability.md. */
export const writeSection = async (name: string, content: string): Promise<void> => {
  const path = join(docs, "reliability.md")
  await Bun.write(path, replaceSection(await Bun.file(path).text(), name, content))
}
