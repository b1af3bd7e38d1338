import { join } from "node:path"

/** The folder of the pages that the benchmarks write. */
export const docs = join(import.meta.dir, "../../docs")

/**
 * Replaces the section of this name in a page: the text between its two marks. Text written by hand around it stays.
 * Throws if the page has no such marks.
 */
export const replaceSection = (page: string, name: string, content: string): string => {
  const [begin, end] = [`<!-- ${name}: begin -->`, `<!-- ${name}: end -->`]
  const [from, to] = [page.indexOf(begin), page.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`The page has no section "${name}".`)
  return `${page.slice(0, from + begin.length)}\n\n${content.trim()}\n\n${page.slice(to)}`
}

/** What stands in the section of this name; "" where the page has none. */
export const sectionOf = (page: string, name: string): string => {
  const [begin, end] = [`<!-- ${name}: begin -->`, `<!-- ${name}: end -->`]
  const [from, to] = [page.indexOf(begin), page.indexOf(end)]
  return from < 0 || to < from ? "" : page.slice(from + begin.length, to).trim()
}

/** Writes a section of a page in docs. */
export const writeSection = async (name: string, content: string, page = "reliability.md"): Promise<void> => {
  const path = join(docs, page)
  await Bun.write(path, replaceSection(await Bun.file(path).text(), name, content))
}
