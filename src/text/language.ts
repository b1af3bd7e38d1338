/** Whether the code is one of ISO 639-1 that CLDR has a name for. */
export const isLanguage = (code: string): boolean =>
  /^[a-z]{2}$/.test(code) &&
  new Intl.DisplayNames("en", { type: "language", fallback: "none" }).of(code) !== undefined

/** The primary language of a tag: `de` of `de-CH`. */
export const primaryLanguage = (language: string): string => language.toLowerCase().split(/[-_]/)[0] ?? ""
