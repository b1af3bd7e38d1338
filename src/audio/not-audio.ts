/** Bytes that tell text from samples: 64 bytes of speech samples are never printable throughout. */
const TEXT_BYTES = 64

/** Control characters that text does not have: all but tab, line feed, form feed, carriage return and escape. */
const isControl = (byte: number) =>
  (byte < 0x20 && byte !== 0x1b && (byte < 9 || byte > 13 || byte === 11)) || byte === 0x7f

/** Whether an answer is UTF-8 text. Undefined if `head`, its first bytes, is too short to tell. */
export const isText = (head: Uint8Array, isWhole: boolean): boolean | undefined => {
  const start = head.subarray(0, TEXT_BYTES)
  // With `stream`, because a character may be cut at the end.
  const isUtf8 = !new TextDecoder().decode(start, { stream: true }).includes("\ufffd")
  if (!isUtf8 || start.some(isControl)) return false
  return start.length === TEXT_BYTES || isWhole ? start.length > 0 : undefined
}

/** The kind of a text, for the log. */
export const kindOfText = (head: Uint8Array): string => {
  const text = new TextDecoder().decode(head.subarray(0, 1024)).trimStart()
  if (/^[{[]/.test(text)) return "JSON"
  if (/^<(!doctype html|html)/i.test(text)) return "HTML"
  return text.startsWith("<") ? "XML" : "text"
}

/** Signatures of files that are not audio, in Latin-1. */
const OTHER_FILES: ReadonlyArray<readonly [kind: string, start: string]> = [
  ["gzip", "\x1f\x8b\x08"],
  ["ZIP", "PK\x03\x04"],
  ["Zstandard", "\x28\xb5\x2f\xfd"],
  ["XZ", "\xfd7zXZ\0"],
  ["bzip2", "BZh9"],
  ["PNG", "\x89PNG"],
]

/** The name of a compressed file or a picture that starts so; undefined for anything else. */
export const otherFile = (head: Uint8Array): string | undefined => {
  const start = Buffer.from(head.subarray(0, 8)).toString("latin1")
  return OTHER_FILES.find(([, signature]) => start.startsWith(signature))?.[0]
}
