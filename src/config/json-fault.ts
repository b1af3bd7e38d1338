type State = "value" | "first item" | "key" | "first key" | "colon" | "rest" | "over"

/** A sign, a text, or another value. */
const token = /[{}[\],:]|"(?:[^"\\\p{Cc}]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"|[\w.+-]+/uy
const scalar = /^(?:".*"|true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/s

/** What follows the token, if it may stand there. `open`: the brackets around it, which it changes. */
const next = (state: State, part: string, open: Array<string>): State | undefined => {
  const [kind] = open.slice(-1)
  const after = () => (open.length === 0 ? "over" : "rest")
  if (state === "over") return undefined
  if (state === "colon") return part === ":" ? "value" : undefined
  const closes = part === "}" ? "{" : part === "]" ? "[" : undefined
  if (closes !== undefined) {
    if (closes !== kind || state === "value" || state === "key") return undefined
    open.pop()
    return after()
  }
  if (state === "rest") return part === "," ? (kind === "{" ? "key" : "value") : undefined
  if (state === "key" || state === "first key") return part.startsWith('"') ? "colon" : undefined
  if (part === "{" || part === "[") {
    open.push(part)
    return part === "{" ? "first key" : "first item"
  }
  return scalar.test(part) ? after() : undefined
}

/** The line and the column, from 1, of what no JSON has there. JSON.parse of this engine does not tell them. */
export const jsonFault = (text: string): { readonly line: number; readonly column: number } => {
  const open: Array<string> = []
  let state: State | undefined = "value"
  let at = 0
  while (at < text.length) {
    at += /^[ \t\r\n]*/.exec(text.slice(at))?.[0].length ?? 0
    token.lastIndex = at
    const part = token.exec(text)?.[0]
    state = part === undefined ? undefined : next(state, part, open)
    if (part === undefined || state === undefined) break
    at += part.length
  }
  const lines = text.slice(0, at).split("\n")
  return { line: lines.length, column: (lines.at(-1) ?? "").length + 1 }
}
