/** Characters that a voice cannot say. Some voices stop at them, or read their name. */

/** What web interfaces of models put around citations: private-use marks with text between them. */
const MARKED = /\uE200[^\uE200\uE201]*\uE201/g
const [ESC, BEL, CSI] = ["\\u001B", "\\u0007", "\\u009B"]
/** Sequences of terminals (ECMA-48): colors and cursor (CSI), titles and links (OSC), and those of two characters. */
const ESCAPES = new RegExp(
  `(?:${ESC}\\[|${CSI})[0-?]*[ -/]*[@-~]|${ESC}\\][^${BEL}${ESC}\\n]*(?:${BEL}|${ESC}\\\\)|${ESC}[ -~]`,
  "g",
)
/** The line breaks of Unicode. */
const BREAKS = /\r\n?|[\v\f\u0085\u2028\u2029]/g
/** BRAILLE PATTERN BLANK looks like a space, but \s does not match it. */
const BLANKS = /\u2800/g
/**
 * Control and private-use characters, unpaired surrogates, and invisible ones: soft hyphen, zero-width space, word joiner,
 * byte order mark, direction marks, invisible operators, Hangul fillers, annotation marks, selectors of ideographs. Joiners
 * and the selectors of emoji stay: the patterns of emoji.ts need them.
 */
const INVISIBLE =
  /(?![\t\n])[\p{Cc}\p{Co}\p{Cs}]|\u034F|[\uFE00-\uFE0D\u{E0100}-\u{E01EF}]|[\u00AD\u061C\u115F\u1160\u180E\u200B\u200E\u200F\u202A-\u202E\u2060-\u206F\u3164\uFEFF\uFFA0\uFFF9-\uFFFD\u{E0001}]/gu

/** Letters and digits in a style ("𝐛𝐨𝐥𝐝"), which Unicode has for mathematics. Voices skip them, or spell their names. */
const STYLED = /[\u{1D400}-\u{1D7FF}]/gu

/**
 * `text` without characters that have no sound, with plain letters, and with \n as its only line break. Never longer than
 * `text`.
 */
export const withoutInvisible = (text: string): string =>
  text
    .replace(MARKED, "")
    .replace(ESCAPES, "")
    .replace(BREAKS, "\n")
    .replace(BLANKS, " ")
    .replace(INVISIBLE, "")
    .replace(STYLED, (letter) => letter.normalize("NFKC"))

/** Joiners and tags after a character whose script does not need them to be spelled correctly. */
const STRAY =
  /(?<=^|[\p{sc=Zyyy}\p{sc=Latn}\p{sc=Grek}\p{sc=Cyrl}\p{sc=Hani}\p{sc=Hira}\p{sc=Kana}\p{sc=Hang}])(?:\u200C|\u200D|[\u{E0020}-\u{E007F}])+/gu

/** `text` without stray joiners, for text whose emoji are gone. Persian and Indian scripts need joiners inside words. */
export const withoutJoiners = (text: string): string => text.replace(STRAY, "")

/** Scripts without spaces between words. */
const UNSPACED = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}]/u

/** Whether `text` has a character of a script without spaces between words. */
export const isUnspaced = (text: string): boolean => UNSPACED.test(text)
