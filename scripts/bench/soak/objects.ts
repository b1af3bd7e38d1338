/** What a turn leaves in the heap: the objects at rest, after a collection of all garbage. */

/** The number of objects of each type. */
export type Objects = Readonly<Record<string, number>>

export interface Compared {
  readonly before: Objects
  readonly after: Objects
}

/** The engine makes these when it compiles and optimizes a function. A string may be a name in the code. */
const isCode = (type: string): boolean => /CodeBlock|Executable|SymbolTable|Structure|^string$/.test(type)

/** The types that have grown most. */
export const grownTypes = ({ before, after }: Compared) =>
  Object.entries(after)
    .map(([type, count]) => ({ type, before: before[type] ?? 0, after: count }))
    .toSorted((a, b) => b.after - b.before - (a.after - a.before))
    .slice(0, 10)

/** How many more objects there are than before, of the types that have grown, without those of code. */
export const keptObjects = ({ before, after }: Compared): number =>
  Object.entries(after).reduce(
    (sum, [type, count]) => (isCode(type) ? sum : sum + Math.max(0, count - (before[type] ?? 0))),
    0,
  )
