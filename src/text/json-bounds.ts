/**
 * What a JSON text may have. It is checked before the text is parsed: a few MB of tiny values take seconds to walk and a
 * GB of memory.
 */
export interface JsonBounds {
  /** Levels of lists and objects. */
  readonly depth: number
  /** Commas and brackets: about the number of values. */
  readonly values: number
  /** UTF-16 units, without the strings of the field `media`. */
  readonly length: number
  /** The name of fields whose strings may have any length. */
  readonly media?: string
}

/** The bound that a text exceeds. */
export type JsonExcess = "depth" | "values" | "length"

const quote = 34
const backslash = 92

/** Whether the character at `at` stands behind an odd number of backslashes. */
const isEscaped = (json: string, at: number): boolean => {
  let before = at
  while (json.charCodeAt(before - 1) === backslash) before -= 1
  return (at - before) % 2 === 1
}

/**
 * The first bound that a JSON text exceeds, from its start on. The text need not be valid. The time is that of the bounds,
 * not of the text: strings are skipped.
 */
export const excessOf = (json: string, bounds: JsonBounds): JsonExcess | undefined => {
  const { media } = bounds
  let depth = 0
  let values = 0
  let free = 0
  let isMediaName = false
  let isMedia = false
  for (let at = 0; at < json.length; at += 1) {
    if (at - free > bounds.length) return "length"
    switch (json.charCodeAt(at)) {
      case quote: {
        const start = at
        const most = start + bounds.length
        at = json.indexOf('"', start + 1)
        // No base64 has a quote in it.
        while (at >= 0 && isEscaped(json, at)) {
          if (at > most) return "length"
          at = json.indexOf('"', at + 1)
        }
        if (at < 0) at = json.length
        if (isMedia) free += at - start
        else if (at - free > bounds.length) return "length"
        isMedia = false
        isMediaName =
          media !== undefined && at - start === media.length + 1 && json.startsWith(media, start + 1)
        break
      }
      // A colon
      case 58:
        isMedia = isMediaName
        isMediaName = false
        break
      // [ and {
      case 91:
      case 123:
        depth += 1
        values += 1
        isMedia = false
        if (depth > bounds.depth) return "depth"
        if (values > bounds.values) return "values"
        break
      // ] and }
      case 93:
      case 125:
        depth -= 1
        values += 1
        break
      case 44:
        values += 1
        if (values > bounds.values) return "values"
        break
    }
  }
  return undefined
}

/**
 * Why code cannot walk or copy a parsed value safely: it has more than `depth` levels, or a field `__proto__`, which
 * changes the prototype where code copies the object by assignment.
 */
export const shapeFault = (value: unknown, depth: number): "depth" | "prototype" | undefined => {
  if (typeof value !== "object" || value === null) return undefined
  if (depth === 0) return "depth"
  if (Object.hasOwn(value, "__proto__")) return "prototype"
  for (const each of Array.isArray(value) ? value : Object.values(value)) {
    const fault = shapeFault(each, depth - 1)
    if (fault !== undefined) return fault
  }
  return undefined
}
