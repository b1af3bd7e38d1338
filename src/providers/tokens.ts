/** About as many as in English; fewer in other languages. */
export const charactersPerToken = 4

export const estimateTokens = (text: string): number => Math.ceil(text.length / charactersPerToken)
