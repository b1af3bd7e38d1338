/** About 4 characters a token in English, fewer in other languages. */
export const estimateTokens = (text: string): number => Math.ceil(text.length / 4)
