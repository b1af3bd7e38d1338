/**
 * One emoji with all that hangs on it: skin tone, variation selector, keycap, tags of regional flags, and what a
 * zero-width joiner adds. Signs that are words when read aloud (©, ®, ™) and text marks (‼, ⁉) are no emoji here.
 * The joiner is only taken after an emoji: Persian and Indian scripts need it inside words.
 */
const PICTURE = "(?:(?![©®™‼⁉])\\p{Extended_Pictographic}|\\p{Regional_Indicator})"
const ATTACHED = "[\\p{Emoji_Modifier}\\uFE0E\\uFE0F\\u20E3\\u{E0020}-\\u{E007F}]"
const EMOJI = `${PICTURE}${ATTACHED}*(?:\\u200D(?:${PICTURE}|[♀♂⚕])?${ATTACHED}*)*`

const RUN = new RegExp(` ?${EMOJI}(?: ?${EMOJI})*(?:( ?[.!?…,;:。！？，])| )?`, "gu")
/** Selectors left on characters that are no pictures: "1️⃣" is said "1". */
const SELECTORS = /[\uFE0E\uFE0F\u20E3]/g

/** `text`, whose spaces are single, without its emoji. A mark after one stays with the word before it: "Great 🎉!" gives "Great!". */
export const withoutEmoji = (text: string): string =>
  text
    .replace(RUN, (_, mark: string | undefined) => (mark === undefined ? " " : mark.trim()))
    .replace(SELECTORS, "")
