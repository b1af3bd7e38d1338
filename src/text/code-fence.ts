/** Markdown code fences, one line at a time. Code is never spoken. */

/** UTF-16 units of a line that may be a fence. Info strings are short. A longer line is text or code. */
const LINE_MAX = 200

const OPENS = /^[ \t]*(?:(?:[-*+>]|\d{1,3}[.)])[ \t]+)*(`{3,}(?=[^`]*$)|~{3,})/
const MAY_CLOSE = /^[>\s]*(?:[`~]+\s*)?$/

/** The marks that open a fence on `line`; "" if none do. */
export const openingFence = (line: string): string => OPENS.exec(line)?.[1] ?? ""

/** Whether an incomplete line may become an opening fence. */
export const mayOpenFence = (line: string): boolean => line.length <= LINE_MAX && openingFence(line) !== ""

/** Whether `line` closes the fence that `fence` opened. */
export const closesFence = (line: string, fence: string): boolean => {
  if (line.length > LINE_MAX) return false
  const bare = line.replace(/^[>\s]+/, "").trimEnd()
  return bare.length >= fence.length && bare === fence.charAt(0).repeat(bare.length)
}

/** Whether an incomplete line of code may become a closing fence. */
export const mayCloseFence = (line: string): boolean => line.length <= LINE_MAX && MAY_CLOSE.test(line)
