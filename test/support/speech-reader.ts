import { parseMediaType } from "../../src/audio/media-type.ts"
import type { RequestedFormat } from "../../src/audio/speech-input.ts"
import { makeSpeechOutput } from "../../src/audio/speech-output.ts"
import { reasonOf } from "../../src/providers/errors.ts"
import { makeSpeechReader } from "../../src/providers/openai/speech-reader.ts"
import { startConversion } from "./conversion.ts"

export interface SpeechAnswer {
  readonly type: string
  readonly body: Uint8Array
  readonly requested?: RequestedFormat
  /** Bytes of a chunk. */
  readonly size?: number
  /** UTF-16 units of the text that is spoken. */
  readonly characters?: number
}

/** Reads one answer by the machine's ffmpeg. */
export const readSpeech = async (
  format: "mp3" | "pcm",
  { type, body, requested = format, size = 1000, characters = 100 }: SpeechAnswer,
) => {
  const chunks: Array<Uint8Array> = []
  const reader = makeSpeechReader(
    { type: parseMediaType(type), requested, characters },
    makeSpeechOutput(format),
    startConversion,
    (bytes) => chunks.push(Uint8Array.from(bytes)),
  )
  for (let at = 0; at < body.length; at += size) reader.write(body.slice(at, at + size))
  const error = await reader.end()
  const problem = error === undefined ? undefined : reasonOf(error)
  await reader.kill()
  return { bytes: Buffer.concat(chunks), problem }
}
