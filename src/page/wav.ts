/** Bytes before the samples. */
const headerBytes = 44
/** Of the service's audio, in Hz. */
const sampleRate = 24_000

/** A WAV file of 24 kHz mono samples. */
export const wavOf = (parts: ReadonlyArray<Int16Array<ArrayBuffer>>): Blob => {
  const dataBytes = parts.reduce((sum, { byteLength }) => sum + byteLength, 0)
  const header = new DataView(new ArrayBuffer(headerBytes))
  const name = (at: number, text: string) => {
    for (const [index, letter] of [...text].entries()) header.setUint8(at + index, letter.charCodeAt(0))
  }
  name(0, "RIFF")
  header.setUint32(4, headerBytes - 8 + dataBytes, true)
  name(8, "WAVEfmt ")
  header.setUint32(16, 16, true)
  // PCM, one channel.
  header.setUint16(20, 1, true)
  header.setUint16(22, 1, true)
  header.setUint32(24, sampleRate, true)
  header.setUint32(28, sampleRate * 2, true)
  header.setUint16(32, 2, true)
  header.setUint16(34, 16, true)
  name(36, "data")
  header.setUint32(40, dataBytes, true)
  return new Blob([header, ...parts], { type: "audio/wav" })
}
