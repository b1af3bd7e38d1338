import { Option } from "effect"

/**
 * Where the first `{{` stands that begins no placeholder, in UTF-16 units from 0. None if each begins one.
 *
 * @param placeholder Matches one whole placeholder, without flags.
 */
export const strayBraces = (text: string, placeholder: RegExp): Option.Option<number> => {
  const here = new RegExp(placeholder.source, "y")
  for (let at = text.indexOf("{{"); at >= 0; at = text.indexOf("{{", here.lastIndex)) {
    here.lastIndex = at
    if (!here.test(text)) return Option.some(at)
  }
  return Option.none()
}

/** A place in a text for people: its character from 1 and, in a text of several lines, its line and column. */
export const placeIn = (text: string, at: number): string => {
  const before = text.slice(0, at)
  const lines = before.split("\n")
  const character = `character ${[...before].length + 1}`
  const column = [...(lines.at(-1) ?? "")].length + 1
  return text.includes("\n") ? `${character}, line ${lines.length}, column ${column}` : character
}
