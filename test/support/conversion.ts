import { makeStartConversion } from "../../src/ffmpeg/convert.ts"
import { makeStartFfmpeg } from "../../src/ffmpeg/sandbox.ts"

/** Conversions by the machine's ffmpeg. */
export const startConversion = makeStartConversion(makeStartFfmpeg("ffmpeg"))
