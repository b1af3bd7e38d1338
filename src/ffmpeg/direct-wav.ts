import { Effect, Option } from "effect"
import type { Recording } from "../audio/container.ts"
import { bytesPerSecond, sampleRate } from "../audio/pcm.ts"
import type { WavInfo } from "../audio/wav.ts"

/** The WAV whose samples a recognizer takes as they are: 16 kHz mono 16-bit PCM. */
export const directWav = ({ wav }: Recording): Option.Option<WavInfo> =>
  Option.filter(
    wav,
    ({ formatTag, channels, bitsPerSample, ...info }) =>
      formatTag === 1 &&
      !info.isBigEndian &&
      info.sampleRate === sampleRate &&
      channels === 1 &&
      bitsPerSample === 16,
  )

/** The samples of the first `maxSeconds` of a WAV. */
export const readSamples = (path: string, { dataOffset, dataBytes }: WavInfo, maxSeconds: number) =>
  Effect.promise(() =>
    Bun.file(path)
      .slice(dataOffset, dataOffset + Math.min(dataBytes, Math.ceil(maxSeconds * bytesPerSecond)))
      .bytes(),
  )
