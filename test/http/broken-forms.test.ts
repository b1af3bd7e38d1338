import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { wav16k } from "../support/audio.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import { expectProblem } from "./answers.ts"

let service: TurnService
let key = ""
let recording: Buffer = Buffer.alloc(0)
beforeAll(async () => {
  service = await startTurns({ env: { SILENCE_DBFS: "0", NODE_ENV: "production" } })
  key = await service.register()
  recording = Buffer.from(await wav16k())
})
afterAll(() => service.stop())
beforeEach(() => service.reset())
afterEach(() => service.nothingLeft())

type Piece = string | Uint8Array
/** The bytes of a Latin-1 string, so that a test case can write any byte. */
const bytesOf = (...pieces: ReadonlyArray<Piece>) =>
  Buffer.concat(pieces.map((piece) => (typeof piece === "string" ? Buffer.from(piece, "latin1") : piece)))

/** A part with any headers and content. */
const part = (headers: string, content: Piece, boundary = "x") =>
  bytesOf(`--${boundary}\r\n${headers}\r\n\r\n`, content, "\r\n")
const end = "--x--\r\n"
const audio = (boundary?: string) =>
  part('Content-Disposition: form-data; name="audio"; filename="a.wav"', recording, boundary)
const field = (name: string, value: Piece) => part(`Content-Disposition: form-data; name="${name}"`, value)

const send = (body: Uint8Array, type = "multipart/form-data; boundary=x") =>
  fetch(`${service.url}/voice/conversation`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": type },
    body,
  })

/** Each is sent with a valid recording, which must be transcribed. */
const beside: ReadonlyArray<readonly [name: string, more: () => Uint8Array]> = [
  ["a part without a name", () => part("Content-Disposition: form-data", "content")],
  [
    "a part of another Content-Disposition",
    () => part('Content-Disposition: attachment; filename="b.wav"', "content"),
  ],
  ["a name that is not UTF-8", () => field("\xff\xfe", "content")],
  ["the name __proto__", () => field("__proto__", "content")],
  ["a name of 10 KB", () => field("n".repeat(10_000), "content")],
  ["a sessionId that is not UTF-8", () => field("sessionId", "\xff\xfe")],
  ["a sessionId with a NUL", () => field("sessionId", "\0")],
  ["a sessionId with line breaks", () => field("sessionId", "a\r\nb: c")],
  ["a sessionId with half a character", () => field("sessionId", "\xed\xa0\x80")],
  ["two sessionIds", () => bytesOf(field("sessionId", "a"), field("sessionId", "b"))],
  [
    "a sessionId that is a file",
    () => part('Content-Disposition: form-data; name="sessionId"; filename="s"', "a"),
  ],
  [
    "a sessionId in an unknown charset",
    () =>
      part('Content-Disposition: form-data; name="sessionId"\r\nContent-Type: text/plain; charset=nope', "a"),
  ],
  [
    "a sessionId in UTF-16 and base64",
    () =>
      part(
        'Content-Disposition: form-data; name="sessionId"\r\nContent-Type: text/plain; charset=utf-16le\r\nContent-Transfer-Encoding: base64',
        "YQ==",
      ),
  ],
  ["a _charset_ field", () => field("_charset_", "utf-7")],
  [
    "a file name in an unknown charset",
    () => part("Content-Disposition: form-data; name=\"b\"; filename*=nope''%ff%00", "a"),
  ],
  [
    "a file name that is not UTF-8",
    () => part("Content-Disposition: form-data; name=\"b\"; filename*=utf-8''%ff%c0%af", "a"),
  ],
  ["a part without headers", () => bytesOf("--x\r\n\r\ncontent\r\n")],
  ["a part that ends within its headers", () => bytesOf("--x\r\nContent-Disposition: form-data\r\n")],
  ["a part whose header is no header", () => part("no header", "content")],
  ["a name with a NUL", () => field("a\0b", "content")],
  ["a name with an escape", () => field("\x1b[31m", "content")],
  ["a name with a line break", () => field("a\nb", "content")],
  [
    "a file name with a path and a NUL",
    () => part('Content-Disposition: form-data; name="b"; filename="../../\0/etc/passwd"', "a"),
  ],
  ["a boundary that almost matches", () => field("b", "--x-\r\n--xx\r\n -- x\r\n--\r\n")],
  ["a header of 100 KB", () => part(`X: ${"y".repeat(100_000)}`, "a")],
  ["10,000 headers", () => part(Array.from({ length: 10_000 }, (_, i) => `X${i}: y`).join("\r\n"), "a")],
  [
    "a nested form",
    () =>
      part(
        'Content-Disposition: form-data; name="b"\r\nContent-Type: multipart/mixed; boundary=y',
        bytesOf(part('Content-Disposition: file; filename="audio"', "content", "y"), "--y--\r\n"),
      ),
  ],
]

describe("a recording is transcribed", () => {
  test.each(beside)("beside %s, before and after it", async (_, more) => {
    for (const body of [bytesOf(audio(), more(), end), bytesOf(more(), audio(), end)]) {
      const answer = await send(body)
      const text = answer.status === 200 ? "" : await answer.clone().text()
      expect({ status: answer.status, text }).toEqual({ status: 200, text: "" })
      await answer.bytes()
      expect(service.upstream.calls("stt")[0]?.request.file.bytes.length).toBe(recording.length)
      service.reset()
    }
  })

  test.each<readonly [name: string, type: string, boundary: string]>([
    ["of 70 characters", `multipart/form-data; boundary=${"b".repeat(70)}`, "b".repeat(70)],
    ["of 252 characters, the most", `multipart/form-data; boundary=${"b".repeat(252)}`, "b".repeat(252)],
    ["longer than there should be", `multipart/form-data; boundary=${"b".repeat(200)}`, "b".repeat(200)],
    ["in quotes", 'multipart/form-data; charset=utf-8; boundary="a b?=(c)"', "a b?=(c)"],
    ["in other letters", "Multipart/Form-Data; BOUNDARY=AbC", "AbC"],
    ["of dashes", "multipart/form-data; boundary=----", "----"],
  ])("with a boundary %s", async (_, type, boundary) => {
    const answer = await send(bytesOf(audio(boundary), `--${boundary}--\r\n`), type)
    expect(answer.status).toBe(200)
    await answer.bytes()
  })

  test.each([" ", "\t", "  \t ", " ".repeat(200_000)])(
    "with white space after each boundary (%#)",
    async (padding) => {
      const other = part('Content-Disposition: form-data; name="b"', "c", `x${padding}`)
      const padded = bytesOf(audio(`x${padding}`), other, `--x--${padding}\r\n`)
      const answer = await send(padded)
      expect(answer.status).toBe(200)
      await answer.bytes()
      expect(service.upstream.calls("stt")[0]?.request.file.bytes.length).toBe(recording.length)
    },
  )

  test.each([
    ["a NUL", 'Content-Disposition: form-data; name="audio"; filename="a\0.wav"\r\nX\0: y'],
    ["no closing quote", 'Content-Disposition: form-data; name="audio"; filename="a.wav'],
    ["a file name in two parts", "Content-Disposition: form-data;\r\n name=audio;\r\n\tfilename=a.wav"],
    ["an encoded file name", "content-disposition:Form-Data ;NAME=audio;FILENAME*=UTF-8''%e2%82%ac.wav;"],
    [
      "a name within its file name",
      'Content-Disposition: form-data; filename="; name=\\"b\\""; name="audio"',
    ],
  ])("with %s in its headers", async (_, headers) => {
    const answer = await send(bytesOf(part(headers, recording), end))
    expect(answer.status).toBe(200)
    await answer.bytes()
    expect(service.upstream.calls("stt")[0]?.request.file.bytes.length).toBe(recording.length)
  })

  test("with text before the first boundary and after the last", async () => {
    const answer = await send(bytesOf("This is a form.\r\n", audio(), end, "It was a form.\r\n"))
    expect(answer.status).toBe(200)
    await answer.bytes()
  })
})

const malformed = /^The multipart body is malformed/
const refused: ReadonlyArray<readonly [name: string, body: () => Uint8Array, code: string, message: RegExp]> =
  [
    [
      "10,000 tiny parts",
      () => bytesOf(...Array.from({ length: 10_000 }, () => field("a", "b")), audio(), end),
      "VALIDATION_ERROR",
      /too many parts/,
    ],
    [
      "a million boundaries",
      () => bytesOf("--x\r\n".repeat(1_000_000), audio(), end),
      "VALIDATION_ERROR",
      /too many parts/,
    ],
    [
      "10,000 parts without a name",
      () => bytesOf(...Array.from({ length: 10_000 }, () => part("X: y", "")), audio(), end),
      "VALIDATION_ERROR",
      /parts|malformed/,
    ],
    [
      "100 KB of headers before the name of the audio",
      () =>
        bytesOf(
          part(`X: ${"y".repeat(100_000)}\r\nContent-Disposition: form-data; name="audio"`, recording),
          end,
        ),
      "VALIDATION_ERROR",
      /^Audio file is required$/,
    ],
    [
      "a boundary other than the header's",
      () => bytesOf(audio("y"), "--y--\r\n"),
      "VALIDATION_ERROR",
      malformed,
    ],
    [
      "line ends without a CR",
      () => Buffer.from(bytesOf(audio(), end).toString("latin1").replaceAll("\r\n", "\n"), "latin1"),
      "VALIDATION_ERROR",
      malformed,
    ],
    [
      "an audio field in another case",
      () => bytesOf(part('Content-Disposition: form-data; name="Audio"; filename="a.wav"', recording), end),
      "VALIDATION_ERROR",
      /^Audio file is required\. Name its field "audio"\.$/,
    ],
    [
      "an audio in base64",
      () =>
        bytesOf(
          part(
            'Content-Disposition: form-data; name="audio"; filename="a.wav"\r\nContent-Transfer-Encoding: base64',
            recording.toString("base64"),
          ),
          end,
        ),
      "VALIDATION_ERROR",
      /^audio: this is base64/,
    ],
    [
      "an audio that is a form",
      () =>
        bytesOf(
          part(
            'Content-Disposition: form-data; name="audio"; filename="a.wav"\r\nContent-Type: multipart/mixed; boundary=y',
            bytesOf(audio("y"), "--y--\r\n"),
          ),
          end,
        ),
      "INVALID_AUDIO",
      /WAV/,
    ],
    [
      "an empty audio",
      () => bytesOf(part('Content-Disposition: form-data; name="audio"; filename="a.wav"', ""), end),
      "INVALID_AUDIO",
      /WAV/,
    ],
    ["nothing but dashes", () => bytesOf("-".repeat(100_000)), "VALIDATION_ERROR", malformed],
    ["only its end", () => bytesOf(end), "VALIDATION_ERROR", /^Audio file is required$/],
  ]

test.each(refused)("400 for a form with %s", async (_, body, code, message) => {
  await expectProblem(await send(body()), { status: 400, code, message })
  expect(service.upstream.calls("stt")).toEqual([])
})

test.each([
  "multipart/form-data; boundary",
  "multipart/form-data; boundary=x\u00ff",
  'multipart/form-data; boundary="x',
  "multipart/form-data boundary=x",
  "multipart/form-data; boundary = z",
  `multipart/form-data; boundary=${"z".repeat(253)}`,
  "multipart/form-data; boundary=x, multipart/form-data; boundary=y",
])("400 for a form of type %j", async (type) => {
  await expectProblem(await send(bytesOf(audio("z"), "--z--\r\n"), type), {
    status: 400,
    code: "VALIDATION_ERROR",
    message: malformed,
  })
})
