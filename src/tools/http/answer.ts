import { Option } from "effect"
import { decodeHTML } from "entities"
import { parseJson } from "../../providers/json.ts"

/** The body of an answer, or its beginning. */
interface Body {
  readonly bytes: Uint8Array
  readonly contentType: string
}

const isTextType = (type: string) =>
  type === "" ||
  type.startsWith("text/") ||
  /^application\/(?:.*\+)?(?:json|xml|yaml|x-yaml|javascript|x-ndjson|x-www-form-urlencoded|graphql)$/.test(
    type,
  )

/** Bytes that no text has, whatever its type says. */
const isBinary = (bytes: Uint8Array) => bytes.subarray(0, 4096).includes(0)

/** Charsets of the web besides UTF-8. A body of an unknown one is read as UTF-8. */
const charsets = [
  "iso-8859-1",
  "iso-8859-2",
  "iso-8859-15",
  "windows-1250",
  "windows-1251",
  "windows-1252",
  "koi8-r",
  "shift_jis",
  "euc-jp",
  "euc-kr",
  "gbk",
  "gb18030",
  "big5",
] as const

const decode = (bytes: Uint8Array, charset: string): string =>
  new TextDecoder(charsets.find((known) => known === charset) ?? "utf-8").decode(bytes)

const hidden = "script, style, noscript, template, svg, head"
const blocks = "p, div, li, tr, h1, h2, h3, h4, h5, h6, section, article, table, br, td, th, pre, dd, dt"

/** Bytes of a page that are converted. 1 MB would take 0.2 to 0.5 s, in which no other turn goes on. */
const maxHtmlBytes = 256 * 1024

/** What a reader of an HTML page sees, one block a line. */
const htmlToText = (html: string): string => {
  let text = ""
  let hiddenDepth = 0
  new HTMLRewriter()
    .on(hidden, {
      element: (element) => {
        hiddenDepth += 1
        element.onEndTag(() => {
          hiddenDepth -= 1
        })
      },
    })
    .on(blocks, {
      element: () => {
        text += "\n"
      },
    })
    .onDocument({
      text: (chunk) => {
        if (hiddenDepth === 0) text += chunk.text
      },
    })
    .transform(html)
  return decodeHTML(text)
    .replace(/[^\S\n]+/g, " ")
    .replace(/ ?\n[ \n]*/g, "\n")
    .trim()
}

const quote = 0x22
const backslash = 0x5c
const isSpace = (code: number) => code === 0x20 || (code >= 0x09 && code <= 0x0d)

/**
 * Removes the white space between the tokens of valid JSON. Parsing and writing it would change large numbers, and a regular
 * expression takes 0.5 s for 1 MB of escaped quotation marks.
 */
export const minify = (json: string): string => {
  let minified = ""
  let begin = 0
  let isInText = false
  for (let at = 0; at < json.length; at += 1) {
    const code = json.charCodeAt(at)
    if (isInText && code === backslash) at += 1
    else if (code === quote) isInText = !isInText
    else if (!isInText && isSpace(code)) {
      if (at > begin) minified += json.slice(begin, at)
      begin = at + 1
    }
  }
  return minified + json.slice(begin)
}

/** In the place of what a bounded answer does not have. */
export const leftOut = "[The rest of the answer was left out.]"

/** None: the body is no text. */
export const bodyText = ({ bytes, contentType }: Body): Option.Option<string> => {
  const [type = "", ...parameters] = contentType.toLowerCase().split(";")
  const mediaType = type.trim()
  if (!isTextType(mediaType) || isBinary(bytes)) return Option.none()
  const charset = /charset\s*=\s*"?([\w.:-]+)/.exec(parameters.join(";"))?.[1] ?? "utf-8"
  if (mediaType === "text/html" || mediaType === "application/xhtml+xml") {
    const text = htmlToText(decode(bytes.subarray(0, maxHtmlBytes), charset))
    return Option.some(bytes.length > maxHtmlBytes ? `${text}\n${leftOut}` : text)
  }
  const text = decode(bytes, charset)
  // JSON without its white space costs the model fewer tokens.
  return Option.some(Option.isSome(parseJson(text)) ? minify(text) : text.trim())
}

/** The beginning of a text, and a sentence that the rest is missing. `most`: bytes of UTF-8, without the sentence. */
export const boundText = (text: string, most: number, isCut = false): string => {
  const bytes = new TextEncoder().encode(text)
  if (bytes.length <= most && (!isCut || text.endsWith(leftOut))) return text
  // The last character may be cut.
  const start = new TextDecoder().decode(bytes.subarray(0, most)).replace(/\uFFFD$/, "")
  return `${start}\n${leftOut}`
}
