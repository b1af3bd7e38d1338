import {
  frameAt,
  HEADER_BYTES,
  isIndexFrame,
  type Mp3Format,
  type Mp3Frame,
  mainDataBytes,
  reservoirBytes,
  sameFormat,
  silence,
  tagAt,
} from "./mp3-frame.ts"

/** What was passed on of a piece, or of the whole reply. */
export interface Mp3Tally {
  /** Frames passed on. 0 at the end of a piece: it held no audio that fits the stream. */
  readonly frames: number
  /** Playing time of these frames, in ms. */
  readonly durationMs: number
  /** Frames among them that were silenced, because they needed bytes from before the piece or a hole in it. */
  readonly silencedFrames: number
  /** Bytes not passed on that were no tag, no index and no partial last frame: junk. */
  readonly junkBytes: number
  /** Set if frames were held back because their format is not the stream's. */
  readonly mismatch: Mp3Format | undefined
}

/** One per reply: feed it the pieces' bytes in order, it gives one continuous stream of whole MP3 frames. */
export interface Mp3Joiner {
  /** More of the current piece. Gives every frame that is complete; the result is the caller's to keep. */
  readonly push: (chunk: Uint8Array) => Uint8Array
  /** The end of a piece: gives what only its end could confirm, forgets a partial frame. The next push starts a new piece. */
  readonly endPiece: () => Uint8Array
  /** The stream's format, set by its first frame. */
  readonly format: () => Mp3Format | undefined
  /** The current piece, or, after `endPiece`, the one just ended. */
  readonly piece: () => Mp3Tally
  /** The whole reply so far. */
  readonly total: () => Mp3Tally
}

/** Headers of one format that must follow each other before sound is believed to start inside junk. */
const CONFIRMING_FRAMES = 3
/** The largest `main_data_begin`, in bytes. */
const RESERVOIR_MAX = 511

const noTally: Mp3Tally = { frames: 0, durationMs: 0, silencedFrames: 0, junkBytes: 0, mismatch: undefined }

const add = (tally: Mp3Tally, change: Partial<Mp3Tally>): Mp3Tally => ({
  frames: tally.frames + (change.frames ?? 0),
  durationMs: tally.durationMs + (change.durationMs ?? 0),
  silencedFrames: tally.silencedFrames + (change.silencedFrames ?? 0),
  junkBytes: tally.junkBytes + (change.junkBytes ?? 0),
  mismatch: tally.mismatch ?? change.mismatch,
})

/** Whether the frame at `at` and those after it look like sound; undefined: too few bytes to tell. */
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

export const makeMp3Joiner = (): Mp3Joiner => {
  let stream: Mp3Format | undefined
  let total = noTally
  // The current piece.
  let tally = noTally
  let started = false
  let format: Mp3Format | undefined
  let carry = new Uint8Array(0)
  let tagBytes = 0
  /** Whether a frame is due exactly here: at the piece's start, after a tag, after a frame. */
  let inStep = true
  let reservoir = 0

  const count = (change: Partial<Mp3Tally>): void => {
    tally = add(tally, change)
    total = add(total, change)
  }

  /** Decides on a complete frame, and makes it fit for its place in the stream. Whether it is passed on. */
  const passes = (data: Uint8Array, at: number, frame: Mp3Frame): boolean => {
    format = frame
    inStep = true
    if (isIndexFrame(data, at, frame)) return false
    stream ??= { version: frame.version, sampleRate: frame.sampleRate, channels: frame.channels }
    if (!sameFormat(frame, stream)) {
      count({ mismatch: { version: frame.version, sampleRate: frame.sampleRate, channels: frame.channels } })
      return false
    }
    const lacksBytes = reservoirBytes(data, at, frame) > reservoir
    if (lacksBytes) silence(data, at, frame)
    reservoir = Math.min(RESERVOIR_MAX, reservoir + mainDataBytes(frame))
    count({
      frames: 1,
      durationMs: (frame.samples * 1000) / frame.sampleRate,
      silencedFrames: lacksBytes ? 1 : 0,
    })
    return true
  }

  /** Moves the frames of `data`, which is ours to change, to its start and gives them; keeps the rest for later. */
  const take = (data: Uint8Array, ending: boolean): Uint8Array => {
    let at = 0
    let kept = 0
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
        const end = next < 0 ? data.length : next
        count({ junkBytes: end - at })
        inStep = false
        reservoir = 0
        at = end
        continue
      }
      if (at + frame.bytes > data.length) break
      if (passes(data, at, frame)) {
        if (kept !== at) data.copyWithin(kept, at, at + frame.bytes)
        kept += frame.bytes
      }
      at += frame.bytes
    }
    carry = data.slice(at)
    return data.subarray(0, kept)
  }

  return {
    push: (chunk) => {
      if (!started) tally = noTally
      started = true
      const data = new Uint8Array(carry.length + chunk.length)
      data.set(carry)
      data.set(chunk, carry.length)
      return take(data, false)
    },
    endPiece: () => {
      if (!started) tally = noTally
      const last = take(carry, true)
      started = false
      format = undefined
      carry = new Uint8Array(0)
      tagBytes = 0
      inStep = true
      reservoir = 0
      return last
    },
    format: () => stream,
    piece: () => tally,
    total: () => total,
  }
}
