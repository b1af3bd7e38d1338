import type { MediaType } from "./media-type.ts"
import type { WavInfo } from "./wav.ts"

type Encoding = "u8" | "s16le" | "s16be" | "s24le" | "s24be" | "s32le" | "f32le" | "f64le" | "mulaw" | "alaw"

/** Samples without a header. ffmpeg's name of their encoding. */
export interface RawSamples {
  readonly demuxer: Encoding
  /** Hz. */
  readonly sampleRate: number
  readonly channels: number
}

/** The PCM of OpenAI's speech endpoint. */
export const openAiPcm: RawSamples = { demuxer: "s16le", sampleRate: 24_000, channels: 1 }

export const isOpenAiPcm = ({ demuxer, sampleRate, channels }: RawSamples): boolean =>
  demuxer === openAiPcm.demuxer && sampleRate === openAiPcm.sampleRate && channels === openAiPcm.channels

/** The encodings of a WAV, by format tag and bits of a sample. */
const WAV_ENCODINGS: Readonly<Record<string, Encoding>> = {
  "1/8": "u8",
  "1/16": "s16le",
  "1/24": "s24le",
  "1/32": "s32le",
  "3/32": "f32le",
  "3/64": "f64le",
  "6/8": "alaw",
  "7/8": "mulaw",
}
/** The most channels that ffmpeg mixes without knowing their places. */
const MAX_CHANNELS = 8

/** The samples of a WAV; undefined for one that only its demuxer can read. */
export const wavSamples = ({
  formatTag,
  bitsPerSample,
  sampleRate,
  channels,
}: WavInfo): RawSamples | undefined => {
  const demuxer = WAV_ENCODINGS[`${formatTag}/${bitsPerSample}`]
  return demuxer === undefined || channels > MAX_CHANNELS ? undefined : { demuxer, sampleRate, channels }
}

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

/** The parameter's number; undefined without one. */
const numberOf = ({ parameters }: MediaType, names: ReadonlyArray<string>) => {
  const value = Number(names.map((name) => parameters.get(name)).find((each) => each !== undefined))
  return Number.isFinite(value) ? value : undefined
}

/** The samples that a Content-Type declares, plausible or not; undefined if it declares none. */
export const declaredSamples = (type: MediaType): RawSamples | undefined => {
  const raw = Object.hasOwn(RAW_TYPES, type.name) ? RAW_TYPES[type.name] : undefined
  if (raw === undefined) return undefined
  return {
    demuxer: raw.demuxer,
    sampleRate: numberOf(type, ["rate", "sample_rate", "sample-rate", "samplerate"]) ?? raw.sampleRate,
    channels: numberOf(type, ["channels", "channel"]) ?? raw.channels,
  }
}
