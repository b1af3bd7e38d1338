/**
 * One emoji with its attachments: skin tone, variation selector, keycap, tags of regional flags, and what a zero-width
 * joiner adds. The joiner counts only after an emoji, because Persian and Indian scripts need it inside words. Signs that
 * are read aloud (©, ®, ™) and text marks (‼, ⁉) are not emoji here.
 *
 * `\p{RGI_Emoji}` does not fit: it contains keycaps, whose digit is read aloud, and lacks what models write without its
 * variation selector ("❤", "🏳‍🌈").
 */
const PICTURE = "(?:(?![©®™‼⁉])\\p{Extended_Pictographic}|\\p{Regional_Indicator})"
const ATTACHED = "[\\p{Emoji_Modifier}\\uFE0E\\uFE0F\\u20E3\\u{E0020}-\\u{E007F}]"
const EMOJI = `${PICTURE}${ATTACHED}*(?:\\u200D(?:${PICTURE}|[♀♂⚕])?${ATTACHED}*)*`

const RUN = new RegExp(` ?${EMOJI}(?: ?${EMOJI})*(?:( ?[.!?…,;:。！？，])| )?`, "gu")
/** Selectors on other characters: "1️⃣" is read "1". */
const SELECTORS = /[\uFE0E\uFE0F\u20E3]/g

/** `text` without its emoji. Its spaces must be single. A mark after an emoji stays: "Great 🎉!" becomes "Great!". */
export const withoutEmoji = (text: string): string =>
  text
    .replace(RUN, (_, mark: string | undefined) => (mark === undefined ? " " : mark.trim()))
    .replace(SELECTORS, "")
