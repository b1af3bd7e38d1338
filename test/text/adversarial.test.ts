/**
 * No reply and no transcript stops the process. The texts of a program run in a child that a time-out ends: a loop
 * without an end, or a pattern whose work grows with the square of the text, would block this process and its timers.
 */
import { expect, test } from "bun:test"

/** Far above the time of linear work, which is below 3 s for all texts. In ms. */
const timeout = 20_000

const kilobytes = (unit: string, size: number) => unit.repeat(Math.ceil((size * 1000) / unit.length))

/** Openings without an end, and pairs around a word. Repeated, they nest. */
const units: ReadonlyArray<string> = [
  ..."$ { } [ ] ( ) < > | ` ~ * _ = # - + . ! : , & ^ @ / \\ 【 † ( （ ♪ ◁ \ue200 \u001b[ \u200d 😀 😀\u200d".split(
    " ",
  ),
  " ",
  "\n",
  "\t",
  "! ",
  ". ",
  "> ",
  "- ",
  "| ",
  "|--",
  "|-",
  "a|b ",
  "$$",
  "$x",
  "${",
  "\\(",
  "\\[",
  "\\sqrt",
  "\\sqrt[",
  "\\frac{",
  "\\text{",
  "\\hat\\hat",
  "x^",
  "x_{",
  "\\begin{a}",
  "\\left(",
  "\\_",
  "a__",
  "**a",
  "a.b",
  "[a](",
  "[a](b(c)",
  '[a](b "',
  "[1",
  "[1,1",
  "[1]",
  "](/",
  "http://",
  "http://a/!",
  "www.a-",
  "<!--",
  "<p ",
  "<p a=",
  '<p a="',
  "<think>",
  "a <think>",
  "a <tools> b ",
  "</think>",
  "a </think> b ",
  "<think></think>",
  "<|im_start|>",
  "<|channel|>",
  "<|im_start|> ",
  "[THINK]",
  "```\n",
  "```a.b",
  "&#",
  "(a",
  "*a",
  "1.",
]

/** What stands before and after the repeated unit. */
const frames: ReadonlyArray<readonly [string, string]> = [
  ["", ""],
  ["$", "$"],
  ["|--", "x"],
  ["a", "b"],
  ["<p a", "x>"],
  ['<p a="', "x>"],
  ["# ", "x"],
  ["```", "x"],
  ["```\n", "x"],
  ["analysisA", ""],
  ["a <tools>", ""],
  ["<|im_start|>", ""],
]

const nested: ReadonlyArray<readonly [string, string]> = [
  ["{", "}"],
  ["\\frac{", "}"],
  ["\\sqrt[", "]"],
  ["x^{", "}"],
  ["\\hat{", "}"],
  ["\\text{", "}"],
  ["(", ")"],
  ["[", "]"],
  ["（", "）"],
  ["<think>", "</think>"],
  ["<tools>", "</tools>"],
  ["**", "**"],
  ["[a](", ")"],
]

const nest = (depth: number) =>
  nested.flatMap(([open, close]) => [
    `$x = ${open.repeat(depth)}\\alpha ${close.repeat(depth)}$`,
    `A ${open.repeat(depth)}a${close.repeat(depth)} b`,
  ])

const programs = {
  toSpokenText: `import { toSpokenText } from "./src/text/spoken-text.ts"
    for (const text of texts) toSpokenText(text)`,
  withoutMarkup: `import { withoutMarkup } from "./src/text/machine-markup.ts"
    for (const text of texts) withoutMarkup(text)`,
  "push, in small chunks": `import { finish, push } from "./src/text/machine-markup.ts"
    import { initialState } from "./src/text/markup-state.ts"
    for (const text of texts) {
      let state = initialState
      for (let at = 0; at < text.length; at += 3) state = push(state, text.slice(at, at + 3))[0]
      finish(state)
    }`,
  "the segmenter, at once": `import { finish, initialState, push } from "./src/text/segmenter.ts"
    for (const text of texts) finish(push(initialState, text)[0])`,
  "the segmenter, in small chunks": `import { finish, initialState, push } from "./src/text/segmenter.ts"
    for (const text of texts) {
      let state = initialState
      for (let at = 0; at < text.length; at += 20) state = push(state, text.slice(at, at + 20))[0]
      finish(state)
    }`,
  hasWords: `import { hasWords } from "./src/text/remarks.ts"
    for (const text of texts) hasWords(text)`,
}

/** The text at which the program was stopped, shortened; "" if it handled all of them. */
const stoppedAt = async (program: string, texts: ReadonlyArray<string>): Promise<string> => {
  const [imports, body] = [program.match(/import .*/g) ?? [], program.replace(/import .*/g, "")]
  const code = `${imports.join("\n")}
    const all = JSON.parse(await Bun.stdin.text())
    const texts = (function* () { for (const [i, text] of all.entries()) { require("node:fs").writeSync(1, i + "\\n"); yield text } })()
    ${body}
    require("node:fs").writeSync(1, "done\\n")`
  const child = Bun.spawn([process.execPath, "-e", code], {
    cwd: new URL("../..", import.meta.url).pathname,
    stdin: new Blob([JSON.stringify(texts)]),
    timeout,
    killSignal: "SIGKILL",
  })
  const at = (await child.stdout.text()).trim().split("\n").at(-1) ?? ""
  return at === "done" ? "" : `${at}: ${JSON.stringify(texts[Number(at)]?.slice(0, 40))}`
}

/** By what they repeat. A loop without an end and cubic work show in the short ones too. */
const texts = {
  units: units.map((unit) => kilobytes(unit, 100)),
  framed: frames.flatMap(([before, after]) => units.map((unit) => before + kilobytes(unit, 4) + after)),
  nearMatches: ["| ", "|-", "|", "- ", "| :", "a=b ", "_ ", "> ", "`", "* "].flatMap((unit) =>
    [24, 40, 60].flatMap((times) =>
      ["|--", "|--|", "<p ", "# ", "```\n"].map((before) => `${before}${unit.repeat(times)}x`),
    ),
  ),
  nested: [31, 1000, 10_000].flatMap(nest),
}

test.each(Object.entries(programs))("%s ends with every text", async (_, program) => {
  expect(await stoppedAt(program, Object.values(texts).flat())).toBe("")
})
