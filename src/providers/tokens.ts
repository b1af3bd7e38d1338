/** About as many as in English; fewer in other languages. */
export const charactersPerToken = 4

export const estimateTokens = ({ length }: { readonly length: number }): number =>
  Math.ceil(length / charactersPerToken)
