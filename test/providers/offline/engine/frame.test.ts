import { expect, test } from "bun:test"
import { encodeHead, type Frame, readFrames } from "../../../../src/providers/offline/engine/frame.ts"

const wire = (...frames: ReadonlyArray<Frame>) =>
  Buffer.concat(frames.flatMap((frame) => [encodeHead(frame), frame.bytes ?? new Uint8Array()]))

const read = async (chunks: ReadonlyArray<Uint8Array>) => {
  const stream = async function* () {
    yield* chunks
  }
  const frames: Array<Frame> = []
  for await (const frame of readFrames(stream())) frames.push(frame)
  return frames
}

const frames: ReadonlyArray<Frame> = [
  { kind: "load", id: 1, note: "moonshine", bytes: new TextEncoder().encode('{"encoder":"/é"}') },
  { kind: "run", id: 4_294_967_295, note: "", bytes: new Uint8Array(1000).map((_, at) => at) },
  { kind: "cancel", id: 0, note: "", bytes: new Uint8Array() },
  { kind: "failed", id: 3, note: "é".repeat(300), bytes: new Uint8Array() },
]

test("frames survive any cut", async () => {
  const bytes = wire(...frames)
  for (const size of [1, 2, 3, 7, 13, 64, bytes.length]) {
    const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
      bytes.subarray(index * size, (index + 1) * size),
    )
    const got = await read(chunks)
    const plain = (frame: Frame) => ({ ...frame, bytes: [...(frame.bytes ?? [])] })
    expect(got.map(plain)).toEqual(frames.map(plain))
  }
})

test("a frame that is cut off is dropped", async () => {
  const bytes = wire(...frames)
  expect((await read([bytes.subarray(0, bytes.length - 1)])).length).toBe(frames.length - 1)
  expect((await read([bytes.subarray(0, 2)])).length).toBe(0)
})

test.each([
  ["text", "terminate called after throwing an instance of 'Ort::Exception'"],
  ["an unknown kind", "\x09\0\0\0\x63\0\0\0\0\0\0\0\0"],
  ["a note beyond the frame", "\x09\0\0\0\x01\0\0\0\0\x05\0\0\0"],
  ["too short", "\x03\0\0\0abc"],
])("%s is no frame", async (_, printed) => {
  await expect(read([Buffer.from(printed, "latin1")])).rejects.toThrow("not a frame")
})
