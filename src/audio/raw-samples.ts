import type { MediaType } from "./media-type.ts"

/** Samples without a header. ffmpeg's name of their encoding. */
export interface RawSamples {
  readonly demuxer: "s16le" | "s16be" | "s24be" | "mulaw" | "alaw"
  /** Hz. */
  readonly sampleRate: number
  readonly channels: number
}

/** The PCM of OpenAI's speech endpoint. */
export const openAiPcm: RawSamples = { demuxer: "s16le", sampleRate: 24_000, channels: 1 }

export const isOpenAiPcm = ({ demuxer, sampleRate, channels }: RawSamples): boolean =>
  demuxer === openAiPcm.demuxer && sampleRate === openAiPcm.sampleRate && channels === openAiPcm.channels

const RAW_TYPES: Readonly<Record<string, RawSamples>> = {
  "audio/pcm": openAiPcm,
  "audio/x-pcm": openAiPcm,
  "audio/raw": openAiPcm,
  "audio/x-raw": openAiPcm,
  // RFC 2586 and RFC 3190: network byte order.
  "audio/l16": { ...openAiPcm, demuxer: "s16be" },
  "audio/l24": { ...openAiPcm, demuxer: "s24be" },
  "audio/basic": { demuxer: "mulaw", sampleRate: 8000, channels: 1 },
  "audio/pcmu": { demuxer: "mulaw", sampleRate: 8000, channels: 1 },
  "audio/pcma": { demuxer: "alaw", sampleRate: 8000, channels: 1 },
}

/** The parameter's whole number within the bounds, or undefined. */
const numberIn = ({ parameters }: MediaType, names: ReadonlyArray<string>, least: number, most: number) => {
  const value = Number(names.map((name) => parameters.get(name)).find((each) => each !== undefined))
  return Number.isInteger(value) && value >= least && value <= most ? value : undefined
}

/** The samples that a Content-Type declares; undefined if it declares none. */
export const declaredSamples = (type: MediaType): RawSamples | undefined => {
  const raw = Object.hasOwn(RAW_TYPES, type.name) ? RAW_TYPES[type.name] : undefined
  if (raw === undefined) return undefined
  return {
    demuxer: raw.demuxer,
    sampleRate:
      numberIn(type, ["rate", "sample_rate", "sample-rate", "samplerate"], 4000, 384_000) ?? raw.sampleRate,
    channels: numberIn(type, ["channels", "channel"], 1, 8) ?? raw.channels,
  }
}
