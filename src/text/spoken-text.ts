import { decodeHTMLStrict } from "entities/decode"
import { withoutInvisible, withoutJoiners } from "./characters.ts"
import { withoutEmoji } from "./emoji.ts"
import { sayFormulas } from "./formulas.ts"

/** A fenced code block, closed or not. */
const FENCED = /^[ \t>]*(`{3,}(?!`)|~{3,}(?!~))[^\n`]*\n[\s\S]*?(?:\n[ \t>]*\1[`~]*[ \t]*(?=\n|$)|$)/gm
const RULE = /^(?:[-*_=~#>|+]\s*)+$/
/** A cell of the line between the head and the body of a table. Only the first one needs its dashes. */
const RULE_CELL = /^:?-*:?$/
const FIRST_RULE_CELL = /^:?-{2,}:?$/
const isTableRule = (line: string): boolean => {
  if (!line.includes("--")) return false
  const [first = "", ...others] = line
    .replace(/^\|/, "")
    .split("|")
    .map((cell) => cell.trim())
  return FIRST_RULE_CELL.test(first) && others.every((cell) => RULE_CELL.test(cell))
}
const HEADER = /^#{1,6}\s+(.*?)(?:\s+#+)?$/
const BULLET = /^(?:[-*+•‣◦▪●·]|[–—](?=\s))\s+(?:\[[ xX]\]\s+)?/
/** The definition of a term in the line before it. */
const DEFINITION = /^:\s+(?=\S)/
const QUOTE = /^(?:>\s?)+/
/** A mark at which a voice pauses, and closing quotes, brackets and emphasis after it. */
const PAUSES = /[\p{Sentence_Terminal}…\u037E,;:，、；：،؛—–-]["'”’»)\]}」』）】*_~`]*$/u

/** The full stop of the script of the last letter. */
const fullStop = (text: string): string => {
  const last = /[\p{L}\p{N}](?=[^\p{L}\p{N}]*$)/u.exec(text)?.[0] ?? ""
  if (/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/u.test(last)) return "。"
  return /\p{Script=Devanagari}/u.test(last) ? "।" : "."
}

const stopped = (text: string): string =>
  PAUSES.test(text) || !/[\p{L}\p{N}]/u.test(text) ? text : text + fullStop(text)

interface Place {
  /** Whether a line break follows. */
  readonly ended: boolean
  /** Whether the text has the rule of a table. */
  readonly inTable: boolean
}

/**
 * Whether a line is a row of a table. Bars around a row are optional, and a cut takes it from the rule of its table, so a
 * line with spaced bars and no end mark counts: a complete one, or one with two bars.
 */
const isRow = (line: string, { ended, inTable }: Place): boolean => {
  const bars = line.split("|").length - 1
  if (bars === 0 || line.includes("||")) return false
  if (bars > 1 && /^\||[^\\]\|$/.test(line)) return true
  if (inTable) return true
  const spaced = line.split(" | ").length - 1 === bars
  return spaced && (ended || bars > 1) && !/[.!?…:;。！？]$/.test(line)
}

/** Removes the block syntax of a line. A complete line without an end mark gets a stop, so that the voice pauses. */
const plainLine = (line: string, place: Place): string => {
  const { ended } = place
  const quoted = line.replace(/\s+/g, " ").trim().replace(QUOTE, "")
  if (RULE.test(quoted) || isTableRule(quoted)) return ""
  if (isRow(quoted, place)) {
    const cells = quoted.split(/(?<!\\)\|/).map((cell) => cell.trim())
    return stopped(cells.filter((cell) => cell !== "").join(", "))
  }
  const text = quoted.replace(HEADER, "$1").replace(BULLET, "").replace(DEFINITION, "")
  const structured = text !== quoted || /^\d{1,3}[.)]\s/.test(quoted)
  return ended || structured ? stopped(text) : text
}

const LINKS: ReadonlyArray<readonly [RegExp, string]> = [
  // Footnotes. The text of one stays.
  [/\[\^[^\][\s]{1,40}\]:?/g, ""],
  // Citations such as "[1][2]" and "[3, 4]", but no index of code: `a[1]`, "a[0]", "a[1] = 2".
  [/(?<=^|[^\s\]]) ?(?:\[[1-9]\d{0,2}(?:\s?[,–-]\s?\d{1,3})*\])+(?![\w(`[]|\s*=)/gm, ""],
  // Citations of hosted models.
  [/【[^【】†]*†[^【】]*】|【\d[\d:, ]*】|:contentReference\[[^\][]*\](?:\{[^{}]*\})?/g, ""],
  // The text of images and links. "](…)" alone is the second half of a link that a cut split.
  [/!?\[([^\][\n]*)\]\((?:[^()\s]|\([^()\s]*\))*(?:\s+["'][^"'\n]*["'])?\)/g, "$1"],
  [/\]\((?:https?:|mailto:|www\.|[/#])[^()\s]*\)/g, ""],
  [/\[([^\][\n]+)\]\[[^\][\n]*\]/g, "$1"],
  [/\[(?![^\][]*\])/g, ""],
  [/<((?:https?|ftp|mailto):[^<>\s]+)>/gi, "$1"],
  // The host of a bare address. The mark that ends the sentence stays.
  [
    /\b(?:https?|ftp):\/\/(?:[^\s/@]*@)?(?:www\.)?([\w.-]*\w)(?::\d+)?(?:[/?#](?:[!#-;=?-~]*[\w/=&#%~+$@-])?)?/gi,
    "$1",
  ],
  [/\bwww\.([\w-]+(?:\.[\w-]+)+)(?:[/?#](?:[!#-;=?-~]*[\w/=&#%~+$@-])?)?/gi, "$1"],
]

/** A named, decimal or hexadecimal character reference. Those without a semicolon are text: "AT&T". */
const ENTITY = /&(?:#\d{1,8}|#x[\da-f]{1,6}|[a-z][a-z\d]{1,31});/gi

/** HTML tags, by name: "List<String>" is not HTML. */
const TAG =
  /<\/?(?:abbr|article|audio|blockquote|br|center|code|dd|del|details|div|d[lt]|em|font|h[1-6r]|img|ins|kbd|li|mark|ol|pre|section|small|span|strike|strong|su[bp]|summary|table|tbody|t[dhrt]|tfoot|thead|ul|var|video|[abipqsu])(?:\s[^<>]*)?\/?>/gi

const EMPHASIS: ReadonlyArray<readonly [RegExp, string]> = [
  [/<!--[\s\S]{0,1000}?-->/g, " "],
  [TAG, " "],
  [/`+/g, ""],
  [/~~/g, ""],
  // Highlights, but not "a == b" and "a==b".
  [/(?<![=\w!<>])==(?=[^\s=])|(?<=[^\s=])==(?![=\w])/g, ""],
  // Two stars or more are emphasis, except between digits ("2**3") and alone ("2 ** 3").
  [/(?<!\d)\*{2,}(?=\S)|(?<=[^\s\\])\*{2,}(?!\d)/g, ""],
  // One star or underscores are emphasis at the edge of a word, but not in "2*3", "2 * 3" and "snake_case".
  [/(?<=^|[\s("'“‘«¿¡[{_—–-])\*(?=\S)|(?<=[^\s\\])\*(?=$|[\s)"'”’»\]}.,;:!?…_—–-])/g, ""],
  [
    /(?<=[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}。！？，、])\*|\*(?=[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}])/gu,
    "",
  ],
  // A run is tried once, from its start.
  [/(?<![\p{L}\p{N}_\\])(?:__+|_(?=\S))|(?<=[^\s\\_]|\\_)_+(?![\p{L}\p{N}_])/gu, ""],
  [/\\([!-/:-@[-`{-~])/g, "$1"],
]

const replaceAll = (text: string, rules: ReadonlyArray<readonly [RegExp, string]>): string =>
  rules.reduce((result, [pattern, by]) => result.replace(pattern, by), text)

/** Marks and closing quotes before the first word, left by the cut before this text. */
const LEFTOVER = /^(?:[\s.!?…,;:。！？，、；：।؟۔)\]}”’»」』）】]|["'](?=\s|$))+/u

/** By how many characters formulas may make a text longer: "$a<b$" is said as "a less than b". See UNITS_MAX. */
const FORMULA_SPARE = 1000

/**
 * The words of `text`, one or more sentences of Markdown, on one line: without formatting, code blocks, link targets,
 * citations, HTML, emoji and what has no sound, and with formulas as words. "" if there are no words. At most one and a
 * half times as long as `text`, and 1000 characters for its formulas.
 */
export const toSpokenText = (text: string): string => {
  const prose = withoutInvisible(text).replace(FENCED, "\n")
  const lines = replaceAll(sayFormulas(prose, FORMULA_SPARE), LINKS).split("\n")
  const inTable = lines.some((line) => line.includes("|") && isTableRule(line.trim()))
  const plain = lines.map((line, i) => plainLine(line, { ended: i < lines.length - 1, inTable })).join(" ")
  const words = replaceAll(plain, EMPHASIS).replace(ENTITY, (entity) =>
    withoutInvisible(decodeHTMLStrict(entity)),
  )
  const spoken = withoutJoiners(withoutEmoji(words.replace(/\s+/g, " ")))
    .replace(LEFTOVER, "")
    .trim()
  return /[\p{L}\p{N}]/u.test(spoken) ? spoken : ""
}
