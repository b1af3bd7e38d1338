/**
 * The tags and tokens that language models write for machines. They come from the chat templates of open models, from the
 * formats of tool calls, and from SSML.
 */

/**
 * - `thinking`, `tool`: hides what it encloses.
 * - `shown`: only the tag is removed.
 * - `pause`: like `shown`, with a space between two words.
 * - `special`: a token of a chat template, see special-tokens.ts.
 * - `instruction`: begins or ends the words of the user.
 */
export type TagRole = "thinking" | "tool" | "shown" | "pause" | "special" | "instruction"

export interface Tag {
  /** UTF-16 units. */
  readonly length: number
  readonly role: TagRole
  /** In lower case, with `_` for `-` and `▁`. */
  readonly name: string
  readonly closes: boolean
}

/** `partial`: more text is needed to tell. */
export type Found = Tag | "none" | "partial"

const tagsOf = (role: TagRole, names: string) =>
  names.split(/\s+/).map((name): readonly [string, TagRole] => [name, role])

const XML_TAGS: ReadonlyMap<string, TagRole> = new Map([
  ...tagsOf("thinking", "think thinking thought thoughts reasoning reflection scratchpad inner_monologue"),
  ...tagsOf(
    "thinking",
    "analysis reason thinking_process thought_process chain_of_thought inner_thoughts details",
  ),
  ...tagsOf("thinking", "seed:think antml:thinking antthinking"),
  ...tagsOf("tool", "tool_call tool_calls tool_code tool_response tool_result tool_results tools function"),
  ...tagsOf("tool", "function_call function_calls function_response function_results invoke parameter"),
  ...tagsOf("tool", "minimax:tool_call xai:function_call antml:function_calls antml:invoke"),
  // Wrappers whose content is the reply.
  ...tagsOf("shown", "answer response output final final_answer final_response reply solution"),
  ...tagsOf(
    "shown",
    "bos eos pad unk end_of_text begin_of_text end_of_utterance start_of_image end_of_image",
  ),
  ...tagsOf(
    "special",
    "start_of_turn end_of_turn im_start im_end start_header_id end_header_id eot_id endoftext",
  ),
  ...tagsOf("shown", "prosody emphasis say_as phoneme sub voice lang audio mark mstts:express_as"),
  ...tagsOf(
    "shown",
    "mstts:viseme amazon:effect amazon:domain amazon:emotion amazon:auto_breaths google:style",
  ),
  ...tagsOf("pause", "speak break p s mstts:silence"),
])

const BRACKET_TAGS: ReadonlyMap<string, TagRole> = new Map([
  ...tagsOf("thinking", "think"),
  ...tagsOf("instruction", "inst"),
  ...tagsOf("tool", "tool_results available_tools system_prompt"),
  ...tagsOf("special", "tool_calls"),
  ...tagsOf("shown", "args call_id"),
])

/** Tokens that are written with a bar on one side only: `<|channel>thought … <channel|>`. */
const HALF_BARRED = ["channel", "turn", "tool", "tool_call", "tool_response", "think"]

const prefixesOf = (names: Iterable<string>) =>
  new Set(Array.from(names, (name) => Array.from(name, (_, end) => name.slice(0, end + 1))).flat())

const XML_PREFIXES = prefixesOf([...XML_TAGS.keys(), ...HALF_BARRED, "unused"])
const BRACKET_PREFIXES = prefixesOf(BRACKET_TAGS.keys())

/** UTF-16 units of the longest tag. A longer one is text. */
const MAX_LENGTH = 300

const normalized = (name: string) => name.toLowerCase().replace(/[-▁]/g, "_")

const tag = (length: number, role: TagRole, name: string, closes = false): Tag => ({
  length,
  role,
  name,
  closes,
})

const XML_NAME = /^<(\s{0,2})(\/?)(\s{0,2})([a-z][\w.:-]*)?/i
const VALUE = `"[^"<>]*"|'[^'<>]*'|[^\\s"'<>=]+`
const ATTRIBUTES = `(?:\\s+[\\w:.-]+\\s*=\\s*(?:${VALUE}))*`
const XML_END = new RegExp(`^${ATTRIBUTES}\\s*(?:(/)\\s*)?>`)
/** The last attribute: in a quote that is open, or with a part of a name or value. */
const XML_END_PARTIAL = new RegExp(
  `^${ATTRIBUTES}(?:\\s+[\\w:.-]+\\s*=\\s*(?:"[^"<>]*|'[^'<>]*)|(?:\\s+[\\w:.-]+(?:\\s*=(?:\\s*[^\\s"'<>=]+)?)?)?\\s*(?:/\\s*)?)$`,
)
const IS_REASONING = /\stype\s*=\s*["']?reasoning\b/i
/** `<function=name>` */
const VALUE_END = /^=[^<>\n]{0,100}>/
const VALUE_END_PARTIAL = /^=[^<>\n]{0,100}$/

/** In code, "List<Answer>" is a type. */
const isTypeArgument = (before: string, name: string) =>
  /\w/.test(before) && /^[A-Z]/.test(name) && (name.length === 1 || name !== name.toUpperCase())

const xmlRole = (name: string): TagRole | undefined => {
  if (/^unused9[45]$/.test(name)) return "thinking"
  return /^unused\d+$/.test(name) ? "shown" : XML_TAGS.get(name)
}

const xmlTag = (rest: string, before: string): Found => {
  const [start = "", space, slash, moreSpace, given] = XML_NAME.exec(rest) ?? []
  if (given === undefined) return start.length === rest.length ? "partial" : "none"
  const name = normalized(given)
  if (start.length === rest.length) {
    return XML_PREFIXES.has(name) || /^unused\d+$/.test(name) ? "partial" : "none"
  }
  const after = rest.slice(start.length)
  if (/^[|｜]/.test(after)) {
    if (!HALF_BARRED.includes(name) || slash !== "") return "none"
    if (after.length === 1) return "partial"
    return after[1] === ">" ? tag(start.length + 2, "special", `/${name}`, true) : "none"
  }
  const role = xmlRole(name)
  if (role === undefined || (name.length === 1 && `${space}${moreSpace}` !== "")) return "none"
  if (after.startsWith("=")) {
    const value = role === "tool" ? VALUE_END.exec(after) : null
    if (value !== null) return tag(start.length + value[0].length, role, name)
    return role === "tool" && VALUE_END_PARTIAL.test(after) ? "partial" : "none"
  }
  const end = XML_END.exec(after)
  if (end === null) return XML_END_PARTIAL.test(after) ? "partial" : "none"
  if (end[0] === ">" && slash === "" && isTypeArgument(before, given)) return "none"
  // Open WebUI's. Other details are for people.
  if (name === "details" && slash === "" && !IS_REASONING.test(end[0])) return "none"
  const length = start.length + end[0].length
  // MedGemma thinks between these two.
  if (name === "unused95") return tag(length, role, "unused94", true)
  // A tag that closes itself encloses nothing.
  const isEmpty = end[1] === "/" && (role === "thinking" || role === "tool")
  return tag(length, isEmpty ? "shown" : role, name, slash === "/")
}

/** `<|im_end|>`, `<｜end▁of▁sentence｜>`: any name between bars is a token. */
const BARRED = /^<[|｜]\s{0,2}([\w.:/▁-]{1,60})\s{0,2}([|｜]?)>/
const BARRED_PARTIAL = /^<[|｜]\s{0,2}(?:[\w.:/▁-]{1,60}\s{0,2}[|｜]?)?$/

const barredTag = (rest: string): Found => {
  const [all, given = "", bar] = BARRED.exec(rest) ?? []
  if (all === undefined) return BARRED_PARTIAL.test(rest) ? "partial" : "none"
  const name = normalized(given)
  // "x <| f |> y" is code.
  if (name.length < 3 && /\s/.test(all)) return "none"
  return bar === "" && !HALF_BARRED.includes(name) ? "none" : tag(all.length, "special", name)
}

/** DeepSeek's tool calls: `<｜DSML｜invoke name="x">`. */
const DSML = /^<(\/?)[|｜]DSML[|｜]/i
const DSML_PARTIAL = /^<\/?(?:[|｜](?:D(?:S(?:M(?:L[|｜]?)?)?)?)?)?$/i

const dsmlTag = (rest: string, prefix: string, slash = ""): Found => {
  const found = xmlTag(`<${slash}${rest.slice(prefix.length)}`, "")
  return typeof found === "string"
    ? found
    : { ...found, length: found.length + prefix.length - 1 - slash.length }
}

const SYSTEM_TAGS = ["<<sys>>", "<</sys>>"]

const systemTag = (rest: string): Found => {
  const text = rest.toLowerCase()
  const found = SYSTEM_TAGS.find((its) => text.startsWith(its))
  if (found !== undefined) return tag(found.length, "tool", "sys", found.includes("/"))
  return SYSTEM_TAGS.some((its) => its.startsWith(text)) ? "partial" : "none"
}

const BRACKET = /^\[\s?(\/?)\s?([a-z_]+)\s?\]/i
const BRACKET_PARTIAL = /^\[\s?\/?\s?([a-z_]*)\s?$/i

const bracketTag = (rest: string): Found => {
  const [all, slash, given = ""] = BRACKET.exec(rest) ?? []
  if (all === undefined) {
    const [, begun] = BRACKET_PARTIAL.exec(rest) ?? []
    return begun === "" || (begun !== undefined && BRACKET_PREFIXES.has(begun.toLowerCase()))
      ? "partial"
      : "none"
  }
  const role = BRACKET_TAGS.get(given.toLowerCase())
  // "[Think](…)" is a link. In lower case the others are words.
  const isLower = given === given.toLowerCase() && (role === "thinking" || role === "instruction")
  const isTag = isLower || given === given.toUpperCase()
  return role === undefined || !isTag ? "none" : tag(all.length, role, given.toLowerCase(), slash === "/")
}

const TRIANGLE = /^◁\s?(\/?)\s?think\s?▷/i
const TRIANGLE_PARTIAL = /^◁\s?\/?\s?(?:t(?:h(?:i(?:n(?:k\s?)?)?)?)?)?$/i

const triangleTag = (rest: string): Found => {
  const [all, slash] = TRIANGLE.exec(rest) ?? []
  if (all === undefined) return TRIANGLE_PARTIAL.test(rest) ? "partial" : "none"
  return tag(all.length, "thinking", "think", slash === "/")
}

/**
 * What stands at the start of `text`, which begins with `<`, `[` or `◁`. `before` is the character before it. Letter case,
 * and up to two spaces around a name, do not matter.
 */
export const recognizeTag = (text: string, before: string): Found => {
  const rest = text.slice(0, MAX_LENGTH)
  const found = recognize(rest, before)
  return found === "partial" && rest.length === MAX_LENGTH ? "none" : found
}

const recognize = (rest: string, before: string): Found => {
  if (rest.startsWith("[")) return bracketTag(rest)
  if (rest.startsWith("◁")) return triangleTag(rest)
  if (rest.startsWith("<<")) return systemTag(rest)
  const [prefix, slash] = DSML.exec(rest) ?? []
  if (prefix !== undefined) return dsmlTag(rest, prefix, slash)
  if (DSML_PARTIAL.test(rest)) return "partial"
  return /^<[|｜]/.test(rest) ? barredTag(rest) : xmlTag(rest, before)
}
