import {
  frameAt,
  HEADER_BYTES,
  isIndexFrame,
  type Mp3Format,
  type Mp3Frame,
  mainDataBytes,
  reservoirBytes,
  sameFormat,
  silenceFrame,
  tagAt,
} from "./mp3-frame.ts"

/** Consecutive headers of one format that prove that sound starts inside junk. One header alone occurs by chance. */
const CONFIRMING_FRAMES = 3
/** The largest `main_data_begin`, in bytes. */
const RESERVOIR_MAX = 511

const nothing = new Uint8Array(0)

/** Whether the frame at `at` and the frames after it are sound; undefined if there are too few bytes to tell. */
const confirmed = (data: Uint8Array, at: number, frame: Mp3Frame, ending: boolean): boolean | undefined => {
  let next = at + frame.bytes
  for (let i = 1; i < CONFIRMING_FRAMES; i++) {
    if (next + HEADER_BYTES > data.length) return ending ? next === data.length : undefined
    const following = frameAt(data, next)
    if (following === undefined || !sameFormat(following, frame)) return false
    next += following.bytes
  }
  return true
}

/**
 * Joins MP3 segments at frame boundaries. Drops tags, index frames, junk, and frames whose format is not that of the
 * stream's first frame: a segment in another format yields no bytes. A frame that needs bytes from before its segment,
 * or from before a hole in it, is silenced. `formatOf` gets the first frame's format and returns that of the stream.
 */
export const makeMp3Joiner = (formatOf: (found: Mp3Format) => Mp3Format = (found) => found) => {
  let stream: Mp3Format | undefined
  // The current segment.
  let format: Mp3Format | undefined
  let carry = nothing
  let tagBytes = 0
  /** Whether a frame must start at this position: at the segment's start, after a tag, after a frame. */
  let inStep = true
  let reservoir = 0

  /** Whether a complete frame belongs in the stream. Silences it in place if it needs bytes that are not there. */
  const accepts = (data: Uint8Array, at: number, frame: Mp3Frame): boolean => {
    format = frame
    inStep = true
    if (isIndexFrame(data, at, frame)) return false
    stream ??= formatOf(frame)
    if (!sameFormat(frame, stream)) return false
    if (reservoirBytes(data, at, frame) > reservoir) silenceFrame(data, at, frame)
    reservoir = Math.min(RESERVOIR_MAX, reservoir + mainDataBytes(frame))
    return true
  }

  /** Moves the complete frames to the start of `data`, which the joiner owns, and keeps the rest for the next call. */
  const take = (data: Uint8Array, ending: boolean) => {
    let at = 0
    let kept = 0
    let ms = 0
    while (at < data.length) {
      if (tagBytes > 0) {
        const skipped = Math.min(tagBytes, data.length - at)
        tagBytes -= skipped
        at += skipped
        continue
      }
      const tag = inStep ? tagAt(data, at) : 0
      if (tag === undefined || at + HEADER_BYTES > data.length) break
      if (tag > 0) {
        tagBytes = tag
        continue
      }
      const frame = frameAt(data, at)
      const due = inStep && (format === undefined || (frame !== undefined && sameFormat(frame, format)))
      const isFrame = frame !== undefined && (due || confirmed(data, at, frame, ending))
      if (isFrame === undefined) break
      if (frame === undefined || !isFrame) {
        const next = data.indexOf(0xff, at + 1)
        inStep = false
        reservoir = 0
        at = next < 0 ? data.length : next
        continue
      }
      if (at + frame.bytes > data.length) break
      if (accepts(data, at, frame)) {
        if (kept !== at) data.copyWithin(kept, at, at + frame.bytes)
        kept += frame.bytes
        ms += (frame.samples * 1000) / frame.sampleRate
      }
      at += frame.bytes
    }
    carry = data.slice(at)
    return { bytes: data.subarray(0, kept), ms }
  }

  const push = (chunk: Uint8Array) => {
    const data = new Uint8Array(carry.length + chunk.length)
    data.set(carry)
    data.set(chunk, carry.length)
    return take(data, false)
  }

  const endSegment = () => {
    const last = take(carry, true)
    format = undefined
    carry = nothing
    tagBytes = 0
    inStep = true
    reservoir = 0
    return last
  }

  return { push, endSegment }
}
