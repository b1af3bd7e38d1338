/** How ffmpeg 6 and later say that a file cannot be opened, and every version that it has no such track. */
const whole = /^(?:\[.*\] )?(?:Error opening input|Stream map '.*' matches no streams)/m

/** ffmpeg 5 ends with the input's name and the reason. It does so too if reading fails later, but then it has decoded. */
const unopened = /^(?:pipe:0|file:.+): .+$/
const decoded = /^Error while decoding stream/m

/**
 * Whether no other track of a file can be decoded, from the standard error of an ffmpeg that failed: the file cannot be
 * opened, or has no track with this number. False if the text does not tell.
 */
export const isOfWholeFile = (text: string): boolean => {
  const last = text.trimEnd().split("\n").at(-1) ?? ""
  return whole.test(text) || (unopened.test(last) && !decoded.test(text))
}
