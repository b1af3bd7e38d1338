/**
 * The messages between the service and an engine's process, by pipes:
 *
 *     u32 bytes that follow | u8 kind | u32 id | u32 bytes of the note | note (UTF-8) | bytes
 *
 * Integers are little-endian. Every `load` and `run` is answered by one `done` or `failed` with its id.
 */
const kinds = ["load", "run", "cancel", "progress", "done", "failed"] as const

export interface Frame {
  /**
   * To the engine: `load` a model (note: the loader; bytes: its files as JSON), `run` the model on bytes (note: see
   * `RunOptions`), `cancel` a run. From the engine: `progress` of a run, with or without a part of the result, `done` with
   * the result, `failed` with a reason in the note.
   */
  readonly kind: (typeof kinds)[number]
  readonly id: number
  readonly note?: string
  /** Samples or text of the request, or of its result. */
  readonly bytes?: Uint8Array
}

const lengthBytes = 4
const headBytes = 9

/** A recording of an hour. More is not a frame, but something else that was printed. */
const maxFrameBytes = 128 * 1024 ** 2

/** The frame without its bytes, which follow it on the wire: they are not copied. */
export const encodeHead = ({ kind, id, note = "", bytes }: Frame): Uint8Array => {
  const text = new TextEncoder().encode(note)
  const head = new Uint8Array(lengthBytes + headBytes + text.length)
  const view = new DataView(head.buffer)
  view.setUint32(0, headBytes + text.length + (bytes?.length ?? 0), true)
  view.setUint8(4, kinds.indexOf(kind))
  view.setUint32(5, id, true)
  view.setUint32(9, text.length, true)
  head.set(text, lengthBytes + headBytes)
  return head
}

const decode = (body: Uint8Array): Frame => {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength)
  const kind = kinds[view.getUint8(0)]
  const noteEnd = headBytes + view.getUint32(5, true)
  if (kind === undefined || noteEnd > body.length) throw new Error("not a frame")
  const note = new TextDecoder().decode(body.subarray(headBytes, noteEnd))
  return { kind, id: view.getUint32(1, true), note, bytes: body.subarray(noteEnd) }
}

/** The frames of a stream. Throws if the stream has anything else. A frame that is cut off at the end is dropped. */
export async function* readFrames(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Frame> {
  const head = new Uint8Array(lengthBytes)
  let headFilled = 0
  let body: Uint8Array | undefined
  let bodyFilled = 0
  for await (const chunk of stream) {
    let at = 0
    while (at < chunk.length) {
      if (body === undefined) {
        const part = chunk.subarray(at, at + lengthBytes - headFilled)
        head.set(part, headFilled)
        headFilled += part.length
        at += part.length
        if (headFilled < lengthBytes) continue
        const length = new DataView(head.buffer).getUint32(0, true)
        if (length < headBytes || length > maxFrameBytes) throw new Error("not a frame")
        body = new Uint8Array(length)
        headFilled = 0
        bodyFilled = 0
      }
      const part = chunk.subarray(at, at + body.length - bodyFilled)
      body.set(part, bodyFilled)
      bodyFilled += part.length
      at += part.length
      if (bodyFilled < body.length) continue
      yield decode(body)
      body = undefined
    }
  }
}

/** Bytes of one write: a long recording does not hold up the writer's other work. */
const pieceBytes = 256 * 1024

/** Sends frames one after the other, at the speed of the reader. A frame to a reader that has ended is dropped. */
export const makeSend = (sink: Bun.FileSink): ((frame: Frame) => void) => {
  let sent = Promise.resolve()
  const write = async (frame: Frame) => {
    const { bytes = new Uint8Array() } = frame
    // Every result is awaited: a write to a process that has ended rejects.
    await sink.write(encodeHead(frame))
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      await sink.write(bytes.subarray(at, at + pieceBytes))
    }
    await sink.flush()
  }
  return (frame) => {
    sent = sent.then(() => write(frame)).catch(() => undefined)
  }
}
