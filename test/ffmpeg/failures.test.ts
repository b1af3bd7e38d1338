import { expect, test } from "bun:test"
import { isOfWholeFile } from "../../src/ffmpeg/failures.ts"

const invalid = "Invalid data found when processing input"

test.each([
  ["5, a pipe", `[mov,mp4,m4a,3gp,3g2,mj2 @ 0x5581] moov atom not found\npipe:0: ${invalid}`],
  ["5, a file", `file:/tmp/voice agent/1/upload: ${invalid}\n`],
  ["5, an empty pipe", "pipe:0: End of file"],
  [
    "5, no such track",
    "Stream map '0:a:1' matches no streams.\nTo ignore this, add a trailing '?' to the map.",
  ],
  ["6", `pipe:0: ${invalid}\nError opening input file pipe:0.`],
  [
    "7",
    `[in#0 @ 0x5581] Error opening input: ${invalid}\nError opening input file pipe:0.\nError opening input files: ${invalid}`,
  ],
  [
    "7, no such track",
    "Stream map '' matches no streams.\nTo ignore this, add a trailing '?' to the map.\nFailed to set value '0:a:1' for option 'map': Invalid argument",
  ],
])("a failure of the whole file: ffmpeg %s", (_, text) => {
  expect(isOfWholeFile(text)).toBe(true)
})

test.each([
  ["an unknown codec", "Decoder (codec none) not found for input stream #0:0"],
  [
    "a decoder that does not open",
    `[alac @ 0x5581] extradata is too small\nError while opening decoder for input stream #0:0 : ${invalid}`,
  ],
  ["broken packets", `[aac @ 0x5581] Reserved bit set.\nError while decoding stream #0:0: ${invalid}`],
  ["broken packets, then a broken end", `Error while decoding stream #0:0: ${invalid}\npipe:0: ${invalid}`],
  ["a signal", "ffmpeg ended with SIGSEGV"],
  ["nothing", ""],
])("a failure of one track: %s", (_, text) => {
  expect(isOfWholeFile(text)).toBe(false)
})
