/** Texts that are cut to a length in UTF-16 units, with no surrogate pair cut in two. */
import { pairSurrogates } from "./well-formed.ts"

/** The beginning of a text. */
export const beginning = (text: string, length: number): string =>
  pairSurrogates("", text.slice(0, length))[0]

/** The beginning and the end, of about half the length each. */
export const middleLeftOut = (text: string, length: number): string => {
  if (text.length <= length) return text.toWellFormed()
  const half = Math.floor(length / 2)
  return `${text.slice(0, half)} … ${text.slice(-half)}`.toWellFormed()
}

const cutMark = " …"

/** At most `length`, cut at the end of a sentence, a line or a word if there is one in its second half. */
export const shortened = (text: string, length: number): string => {
  if (text.length <= length) return text
  const start = text.slice(0, length - cutMark.length)
  const [whole] = /^.*(?:[.!?]\s|[。！？\n])/su.exec(start) ?? [""]
  const [words] = /^.*\s/su.exec(start) ?? [""]
  const cut = [whole, words].find(({ length: its }) => its > length / 2) ?? start
  return `${cut.replace(/[\ud800-\udbff]$/, "").trimEnd()}${cutMark}`
}
