import { withoutEmoji } from "./emoji.ts"

/** A fenced code block, closed or not. */
const FENCED = /^[ \t>]*(`{3,}(?!`)|~{3,}(?!~))[^\n`]*\n[\s\S]*?(?:\n[ \t>]*\1[`~]*[ \t]*(?=\n|$)|$)/gm
const RULE = /^(?:[-*_=~#>|+]\s*)+$/
const TABLE_RULE = /^\|?\s*:?-{2,}:?\s*(?:\|\s*:?-*:?\s*)*$/
const HEADER = /^#{1,6}\s+(.*?)(?:\s+#+)?$/
const BULLET = /^(?:[-*+•‣◦▪●·]|[–—](?=\s))\s+(?:\[[ xX]\]\s+)?/
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

/** Removes the block syntax of a line. A complete line without an end mark gets a stop, so that the voice pauses. */
const plainLine = (line: string, ended: boolean): string => {
  const quoted = line.replace(/\s+/g, " ").trim().replace(QUOTE, "")
  if (RULE.test(quoted) || (quoted.includes("-") && TABLE_RULE.test(quoted))) return ""
  if (/^\|.*\|$/.test(quoted)) {
    const cells = quoted.slice(1, -1).split("|")
    return stopped(
      cells
        .map((cell) => cell.trim())
        .filter((cell) => cell !== "")
        .join(", "),
    )
  }
  const text = quoted.replace(HEADER, "$1").replace(BULLET, "")
  const structured = text !== quoted || /^\d{1,3}[.)]\s/.test(quoted)
  return ended || structured ? stopped(text) : text
}

const LINKS: ReadonlyArray<readonly [RegExp, string]> = [
  // The text of images and links. "](…)" alone is the second half of a link that a cut split.
  [/!?\[([^\][\n]*)\]\((?:[^()\s]|\([^()\s]*\))*(?:\s+["'][^"'\n]*["'])?\)/g, "$1"],
  [/\]\((?:https?:|mailto:|www\.|[/#])[^()\s]*\)/g, ""],
  [/\[([^\][\n]+)\]\[[^\][\n]*\]/g, "$1"],
  [/\[(?![^\]]*\])/g, ""],
  [/<((?:https?|ftp|mailto):[^<>\s]+)>/gi, "$1"],
  // Citations of hosted models.
  [/【[^【】]*†[^【】]*】/g, ""],
  // The host of a bare address. The mark that ends the sentence stays.
  [
    /\b(?:https?|ftp):\/\/(?:[^\s/@]*@)?(?:www\.)?([\w.-]*\w)(?::\d+)?(?:[/?#](?:[!#-;=?-~]*[\w/=&#%~+$@-])?)?/gi,
    "$1",
  ],
  [/\bwww\.([\w-]+(?:\.[\w-]+)+)(?:[/?#](?:[!#-;=?-~]*[\w/=&#%~+$@-])?)?/gi, "$1"],
]

const ENTITIES: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  nbsp: " ",
}

/** HTML tags, by name: "List<String>" is not HTML. */
const TAG =
  /<\/?(?:abbr|article|audio|blockquote|br|center|code|dd|del|details|div|d[lt]|em|font|h[1-6r]|img|ins|kbd|li|mark|ol|pre|section|small|span|strike|strong|su[bp]|summary|table|tbody|t[dhrt]|tfoot|thead|ul|var|video|[abipqsu])(?:\s[^<>]*)?\/?>/gi

const EMPHASIS: ReadonlyArray<readonly [RegExp, string]> = [
  [/<!--[\s\S]{0,1000}?-->/g, " "],
  [TAG, " "],
  [/`+/g, ""],
  [/~~/g, ""],
  // Two stars or more are emphasis, except between digits ("2**3") and alone ("2 ** 3").
  [/(?<!\d)\*{2,}(?=\S)|(?<=[^\s\\])\*{2,}(?!\d)/g, ""],
  // One star or underscores are emphasis at the edge of a word, but not in "2*3", "2 * 3" and "snake_case".
  [/(?<=^|[\s("'“‘«¿¡[{_—–-])\*(?=\S)|(?<=[^\s\\])\*(?=$|[\s)"'”’»\]}.,;:!?…_—–-])/g, ""],
  [
    /(?<=[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}。！？，、])\*|\*(?=[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}])/gu,
    "",
  ],
  [/(?<![\p{L}\p{N}_\\])_+(?=\S)|(?<=[^\s\\])_+(?![\p{L}\p{N}_])/gu, ""],
  [/\\([\\`*_{}[\]()#+.!|<>~-])/g, "$1"],
]

const replaceAll = (text: string, rules: ReadonlyArray<readonly [RegExp, string]>): string =>
  rules.reduce((result, [pattern, by]) => result.replace(pattern, by), text)

/** Marks and closing quotes before the first word, left by the cut before this text. */
const LEFTOVER = /^(?:[\s.!?…,;:。！？，、；：।؟۔)\]}”’»」』）】]|["'](?=\s|$))+/u

/**
 * The words of `text`, one or more sentences of Markdown, on one line: without formatting, code blocks, link targets,
 * HTML and emoji. "" if there are no words. At most twice as long as `text`.
 */
export const toSpokenText = (text: string): string => {
  const lines = replaceAll(text.replace(FENCED, "\n"), LINKS).split("\n")
  const plain = lines.map((line, i) => plainLine(line, i < lines.length - 1)).join(" ")
  const words = replaceAll(plain, EMPHASIS).replace(
    /&(amp|lt|gt|quot|nbsp|#39);/g,
    (_, name) => ENTITIES[name] ?? "'",
  )
  const spoken = withoutEmoji(words.replace(/\s+/g, " ")).replace(LEFTOVER, "").trim()
  return /[\p{L}\p{N}]/u.test(spoken) ? spoken : ""
}
