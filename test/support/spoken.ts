/** Real speech: the recording of the examples, "Hello, can you hear me?" in 2.2 s. */
const question = new URL("../../examples/question.wav", import.meta.url).pathname

/** Its samples at 24 kHz. */
export const speechSamples = async (): Promise<Int16Array> => {
  const command = ["ffmpeg", "-v", "error", "-i", question, "-f", "s16le", "-ac", "1", "-ar", "24000", "-"]
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe" })
  const bytes = await child.stdout.bytes()
  return new Int16Array(bytes.slice().buffer)
}
