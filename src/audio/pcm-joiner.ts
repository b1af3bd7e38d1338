/** Bytes in a millisecond of 24 kHz mono 16-bit samples, the only PCM that OpenAI's speech endpoint sends. */
const bytesPerMs = 48

const nothing = new Uint8Array(0)

/** Joins 24 kHz mono 16-bit samples: whole samples only, because half a sample turns what follows into noise. */
export const makePcmJoiner = () => {
  let half = nothing

  const push = (chunk: Uint8Array) => {
    const data = half.length === 0 ? chunk : Buffer.concat([half, chunk])
    half = Uint8Array.from(data.subarray(data.length - (data.length % 2)))
    const bytes = data.subarray(0, data.length - half.length)
    return { bytes, ms: bytes.length / bytesPerMs }
  }

  const endSegment = () => {
    half = nothing
    return { bytes: nothing, ms: 0 }
  }

  return { push, endSegment }
}
