import { describe, expect, test } from "bun:test"
import { FastCheck, Option } from "effect"
import { makeFormParser } from "../../src/http/form.ts"
import { BOUNDARY, multipart, multipartType, type Part, partHead } from "../support/multipart.ts"

const latin1 = (bytes: Uint8Array | string) => Buffer.from(bytes).toString("latin1")

/** Parses a body that arrives in these chunks. */
const parse = async (chunks: ReadonlyArray<Uint8Array>) => {
  let content = ""
  const parser = makeFormParser(multipartType, (piece) => {
    content += latin1(piece)
  })
  for (const chunk of chunks) await parser.write(chunk)
  return { ...(await parser.end()), content }
}

/** In chunks of these sizes, in turn. */
const cut = (body: Uint8Array, sizes: ReadonlyArray<number>) => {
  const chunks: Array<Uint8Array> = []
  for (let at = 0, i = 0; at < body.length; i += 1) {
    const size = sizes[i % sizes.length] ?? 1
    chunks.push(body.subarray(at, at + size))
    at += size
  }
  return chunks
}

const content = FastCheck.oneof(
  FastCheck.string({ unit: "binary", maxLength: 40 }),
  // Almost a delimiter.
  FastCheck.array(
    FastCheck.constantFrom("\r", "\n", "\r\n", "-", "--", "\r\n--", `\r\n--${BOUNDARY.slice(0, -1)}`, "\0"),
  ).map((parts) => parts.join("")),
).map((text) => Buffer.from(text))
const part: FastCheck.Arbitrary<Part> = FastCheck.record(
  {
    name: FastCheck.constantFrom("audio", "sessionId", "名前", "a b"),
    filename: FastCheck.constantFrom("", "a.wav", "Aufnahme – 🍵.wav", "; name=b", 'a\\"b'),
    type: FastCheck.constantFrom("audio/wav", "text/plain; charset=utf-16", "application/octet-stream"),
    content,
  },
  { requiredKeys: ["name", "content"] },
)
const sizes = FastCheck.array(FastCheck.integer({ min: 1, max: 60 }), { minLength: 1 })

describe("a form", () => {
  test("has the same recording however it is cut into chunks", () =>
    FastCheck.assert(
      FastCheck.asyncProperty(FastCheck.array(part, { maxLength: 5 }), sizes, async (parts, sizes) => {
        const form = await parse(cut(multipart(parts), sizes))
        const first = parts.find(({ name }) => name === "audio")
        expect(form.content).toBe(first === undefined ? "" : latin1(first.content))
        expect(Option.getOrUndefined(form.audio)).toEqual(
          first === undefined ? undefined : { hasFileName: Boolean(first.filename) },
        )
      }),
      { numRuns: 500 },
    ))

  test("may have white space after its boundaries", () =>
    FastCheck.assert(
      FastCheck.asyncProperty(
        FastCheck.array(part, { maxLength: 5 }),
        FastCheck.array(FastCheck.constantFrom("", " ", "\t", " \t  "), { minLength: 1 }),
        sizes,
        async (parts, paddings, sizes) => {
          const body = multipart(parts)
          let boundaries = 0
          const padded = latin1(body).replaceAll(`--${BOUNDARY}\r\n`, (delimiter) => {
            boundaries += 1
            return delimiter.replace("\r\n", `${paddings[boundaries % paddings.length]}\r\n`)
          })
          const form = await parse(cut(Buffer.from(padded, "latin1"), sizes))
          expect(form).toEqual(await parse([body]))
        },
      ),
      { numRuns: 500 },
    ))

  test("does not end at a boundary with white space before two dashes", async () => {
    const body = Buffer.from(`${partHead({ name: "audio" })}1\r\n--${BOUNDARY} --\r\n`)
    await expect(parse([body])).rejects.toThrow("incomplete")
    await expect(parse(cut(body, [1]))).rejects.toThrow("incomplete")
  })

  test("is incomplete without its end", () =>
    FastCheck.assert(
      FastCheck.asyncProperty(
        FastCheck.array(part, { minLength: 1, maxLength: 3 }),
        sizes,
        FastCheck.nat(),
        async (parts, sizes, seed) => {
          const body = multipart(parts)
          // The line end after the last delimiter is not needed.
          const shorter = body.subarray(0, seed % (body.length - 2))
          await expect(parse(cut(shorter, sizes))).rejects.toThrow("incomplete")
        },
      ),
      { numRuns: 500 },
    ))

  test("ends with its last delimiter, in one chunk or several", async () => {
    const parts = multipart([{ name: "audio", content: "1" }])
    const noise = Buffer.from(`--${BOUNDARY}\r\nnoise`)
    for (const chunks of [[parts, noise, noise], [Buffer.concat([parts, noise])]]) {
      expect((await parse(chunks)).content).toBe("1")
    }
  })
})

const MB = 1024 ** 2
const skipped = [
  ["a second recording", partHead({ name: "audio" })],
  ["a part without a name", `--${BOUNDARY}\r\nContent-Type: audio/wav\r\n\r\n`],
  ["a part without headers", `--${BOUNDARY}\r\n\r\n`],
  ["a part that is no field", `--${BOUNDARY}\r\nContent-Disposition: attachment; filename="a"\r\n\r\n`],
  ["a long field", partHead({ name: "sessionId" })],
  ["headers without end", `--${BOUNDARY}\r\nX: `],
] as const
for (const [name, head] of skipped) {
  test.each([1000, 70_000, 20 * MB])(`${name} of %i bytes is skipped`, async (size) => {
    const more = Buffer.concat([Buffer.from(head), new Uint8Array(size)])
    const audio = Buffer.concat([Buffer.from(partHead({ name: "audio" })), new Uint8Array(2 * MB)])
    const end = Buffer.from(`\r\n--${BOUNDARY}--\r\n`)
    const last = Buffer.concat([audio, Buffer.from("\r\n"), more, end])
    for (const sizes of [
      [last.length],
      [100_000],
      [16 * 1024],
      [audio.length, last.length],
      [last.length - 3],
    ]) {
      expect((await parse(cut(last, sizes))).content.length).toBe(2 * MB)
    }
    if (name === "a second recording") return
    const first = Buffer.concat([more, Buffer.from("\r\n"), audio, end])
    for (const sizes of [[first.length], [100_000], [16 * 1024]]) {
      expect((await parse(cut(first, sizes))).content.length).toBe(2 * MB)
    }
  })
}

test("the content of a part is passed on at once", async () => {
  let received = 0
  const parser = makeFormParser(multipartType, (piece) => {
    received += piece.length
  })
  await parser.write(Buffer.from(partHead({ name: "audio" })))
  for (let sent = 1024 ** 2; sent <= 10 * 1024 ** 2; sent += 1024 ** 2) {
    await parser.write(new Uint8Array(1024 ** 2))
    expect(received).toBeGreaterThan(sent - 64 * 1024 - BOUNDARY.length)
  }
})
