/** The primary language of a tag: `de` of `de-CH`. */
export const primaryLanguage = (language: string): string => language.toLowerCase().split(/[-_]/)[0] ?? ""
