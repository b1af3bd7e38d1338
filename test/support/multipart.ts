/** Multipart bodies as clients write them, correct or not. */

export interface Part {
  readonly name: string
  readonly filename?: string
  readonly type?: string
  readonly content: string | Uint8Array
}

export const BOUNDARY = "----voice-agent-test-boundary"

export const multipartType = `multipart/form-data; boundary=${BOUNDARY}`

/** The header of a part. */
export const partHead = ({ name, filename, type }: Omit<Part, "content">): string =>
  `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"${
    filename === undefined ? "" : `; filename="${filename}"`
  }\r\n${type === undefined ? "" : `Content-Type: ${type}\r\n`}\r\n`

/** The end of the last part and of the form. */
export const formEnd = `\r\n--${BOUNDARY}--\r\n`

export const multipart = (parts: ReadonlyArray<Part>): Uint8Array => {
  const bytes = parts.flatMap((part, index) => [
    Buffer.from(`${index === 0 ? "" : "\r\n"}${partHead(part)}`),
    Buffer.from(part.content),
  ])
  return Buffer.concat([...bytes, Buffer.from(parts.length === 0 ? `--${BOUNDARY}--\r\n` : formEnd)])
}
