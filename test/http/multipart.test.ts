import { describe, expect, test } from "bun:test"
import { FastCheck } from "effect"
import { makeFormParser, type PartHead } from "../../src/http/multipart.ts"
import { BOUNDARY, multipart, multipartType, type Part, partHead } from "../support/multipart.ts"

interface Received {
  readonly head: PartHead
  readonly content: string
}

const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1")

/** The parts of a body that arrives in these chunks. */
const parse = (chunks: ReadonlyArray<Uint8Array>, type = multipartType): ReadonlyArray<Received> => {
  const parts: Array<{ readonly head: PartHead; content: string }> = []
  const parser = makeFormParser(type, (head) => {
    const part = { head, content: "" }
    parts.push(part)
    return (piece) => {
      part.content += latin1(piece)
    }
  })
  for (const chunk of chunks) parser.push(chunk)
  parser.end()
  return parts
}

const content = FastCheck.oneof(
  FastCheck.string({ unit: "binary", maxLength: 40 }),
  // Almost a delimiter.
  FastCheck.array(
    FastCheck.constantFrom("\r", "\n", "\r\n", "-", "--", "\r\n--", BOUNDARY.slice(0, -1), "\0"),
  ).map((parts) => parts.join("")),
).map((text) => Buffer.from(text))
const part: FastCheck.Arbitrary<Part> = FastCheck.record(
  {
    name: FastCheck.constantFrom("audio", "sessionId", "名前", "a b"),
    filename: FastCheck.constantFrom("", "a.wav", "Aufnahme – 🍵.wav", "; name=b", 'a\\"b'),
    type: FastCheck.constantFrom("audio/wav", "text/plain; charset=utf-16"),
    content,
  },
  { requiredKeys: ["name", "content"] },
)

describe("a form", () => {
  test("has the same parts however it is cut into chunks", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.array(part, { maxLength: 5 }),
        FastCheck.array(FastCheck.integer({ min: 1, max: 60 }), { minLength: 1 }),
        (parts, sizes) => {
          const body = multipart(parts)
          const chunks: Array<Uint8Array> = []
          for (let at = 0, i = 0; at < body.length; i += 1) {
            const size = sizes[i % sizes.length] ?? 1
            chunks.push(body.subarray(at, at + size))
            at += size
          }
          const expected = parts.map(({ name, filename, content }) => ({
            head: { name, hasFileName: (filename ?? "") !== "" },
            content: latin1(Buffer.from(content)),
          }))
          expect(parse(chunks)).toEqual(expected)
        },
      ),
      { numRuns: 500 },
    )
  })

  const named = (disposition: string) => {
    const body = `--x\r\n${disposition}\r\n\r\ncontent\r\n--x--`
    return parse([Buffer.from(body)], "multipart/form-data; boundary=x")[0]?.head
  }
  test.each([
    ["Content-Disposition: form-data; name=audio", "audio", false],
    ["content-disposition:form-data;NAME=audio;FILENAME=a.wav", "audio", true],
    ["Content-Disposition: Form-Data ; name = \"audio\" ; filename*=UTF-8''%e2%82%ac.wav;", "audio", true],
    ['Content-Disposition: form-data; filename="; name=\\"b\\""; name="audio"', "audio", true],
    ['Content-Disposition: form-data; name="audio"; name="b"', "audio", false],
    ['Content-Disposition: form-data;\r\n name="audio"', "audio", false],
    ['Content-Type: audio/wav\r\nContent-Disposition: form-data; name="audio"; filename=""', "audio", false],
    ['Content-Disposition: form-data; name="a\\"b"', 'a"b', false],
    ['Content-Disposition: attachment; name="audio"', "", false],
    ['Content-Disposition: form-data-x; name="audio"', "", false],
    ['Content-Disposition: form-data; name="audio', "", false],
    ["Content-Type: audio/wav", "", false],
  ])("%j names its part", (disposition, name, hasFileName) => {
    expect(named(disposition)).toEqual({ name, hasFileName })
  })

  test("ends with its last delimiter", () => {
    const parts = parse([multipart([{ name: "a", content: "1" }]), Buffer.from(`--${BOUNDARY}\r\nnoise`)])
    expect(parts).toHaveLength(1)
  })
})

test("headers of a part are held up to 16 KB, its content not at all", () => {
  let received = 0
  const parser = makeFormParser(multipartType, () => (piece) => {
    received += piece.length
  })
  parser.push(Buffer.from(partHead({ name: "a" })))
  parser.push(new Uint8Array(1024 ** 2))
  expect(received).toBeGreaterThan(1024 ** 2 - BOUNDARY.length - 8)
  const headers = makeFormParser(multipartType, () => undefined)
  headers.push(Buffer.from(`--${BOUNDARY}\r\nX: `))
  expect(() => {
    for (let i = 0; i < 17; i += 1) headers.push(Buffer.alloc(1024, "y"))
  }).toThrow("malformed")
})
