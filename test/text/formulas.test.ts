import { describe, expect, test } from "bun:test"
import { toSpokenText } from "../../src/text/spoken-text.ts"

const table = (name: string, cases: ReadonlyArray<readonly [text: string, spoken: string]>): void =>
  describe(name, () => {
    for (const [text, spoken] of cases) {
      test(JSON.stringify(text), () => expect(toSpokenText(text)).toBe(spoken))
    }
  })

table("formulas become words", [
  [String.raw`\( x^2 \)`, "x squared"],
  ["$x = 3$", "x equals 3"],
  [String.raw`The **area** is $A = \pi r^2$.`, "The area is A equals pi r squared."],
  [
    String.raw`$$x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}$$`,
    "x equals minus b plus or minus square root of b squared minus 4ac over 2a",
  ],
  [String.raw`\[ \sqrt{2} \times \alpha_1 \]`, "square root of 2 times alpha sub 1"],
  [String.raw`$\sqrt[3]{8}$, $\frac12$, $\binom{n}{k}$`, "cube root of 8, 1 over 2, n choose k"],
  [String.raw`$\text{speed} = 5\,\text{m/s}$`, "speed equals 5 m/s"],
  [String.raw`$\sum_{i=1}^{n} i$`, "sum from i equals 1 to n of i"],
  [String.raw`$\int_0^1 x\,dx$`, "integral from 0 to 1 of x dx"],
  [String.raw`\\( x^2 \\) and $\log_2 8$`, "x squared and log base 2 of 8"],
  [String.raw`$\lim_{x \to 0} \sin x$`, "limit as x to 0 of sine x"],
  [String.raw`$e^{i\pi} + 1 = 0$`, "e to the power of i pi plus 1 equals 0"],
  [String.raw`$90^\circ$, $f'(x)$, $n!$`, "90 degrees, f prime (x), n!"],
  [
    "$10^{-19}$, $x^{10}$, $x^10$, $x^n$",
    "10 to the power of minus 19, x to the power of 10, x to the power of 10, x to the power of n",
  ],
  [String.raw`$n$th, $n^{th}$, $\alpha$-helix`, "nth, nth, alpha-helix"],
  [String.raw`$a \le b$, $a<b$, $a \neq b$`, "a less than or equal to b, a less than b, a not equal to b"],
  [
    String.raw`$\mathbb{R}^n$, $\vec{v}$, $\hat{x}$, $x_{max}$`,
    "R to the power of n, vector v, x hat, x sub max",
  ],
  [String.raw`$\left( x \right)$ and $\boxed{42}$`, "(x) and 42"],
  [String.raw`$\$5$ is $10\%$`, "$5 is 10%"],
  [String.raw`\begin{aligned} a &= b \\ c &= d \end{aligned}`, "a equals b, c equals d"],
  [String.raw`\begin{array}{cc} a & b \end{array}`, "a b"],
  [String.raw`$\unknowncommand{x}$`, "unknowncommand x"],
  ["- $x^2$\n", "x squared."],
  ["| $x^2$ | $y$ |\n", "x squared, y."],
])

table("formulas without delimiters, as models write them and cuts leave them", [
  ["E = mc^2, and 2^10.", "E = mc squared, and 2 to the power of 10."],
  ["x_1 + y_12, v_{max}", "x sub 1 + y sub 12, v sub max"],
  [String.raw`Area is \pi r^2.`, "Area is pi r squared."],
  [String.raw`2\pi\alpha r`, "2 pi alpha r"],
  ["x = \\frac{a}{b}\n", "x = a over b."],
  ["a &= b^2 \\\\\n", "a = b squared."],
  ["c &= 3.5\n", "c = 3.5."],
  ["\\begin{aligned}\n", ""],
  ["\\end{aligned}\n", ""],
  ["\\[\n", ""],
  ["$$\n", ""],
  ["$$x^2\n", "x squared."],
  [String.raw`and then \)`, "and then"],
  [String.raw`\frac{a}{`, "a over"],
])

table("money, paths and code are no formulas", [
  ["$5 and $10", "$5 and $10"],
  ["$5, $6, and $7.", "$5, $6, and $7."],
  ["It costs $5-$10, US$3 or R$4.", "It costs $5-$10, US$3 or R$4."],
  ["($5) or ($10), 5$ or 10$", "($5) or ($10), 5$ or 10$"],
  ["I have $5, you have 3$.", "I have $5, you have 3$."],
  ["$1,000 to $2,000 = $24,000/year", "$1,000 to $2,000 = $24,000/year"],
  ["**$5** and **$10**", "$5 and $10"],
  ["rated $$ to $$$", "rated $$ to $$$"],
  ["$HOME/$PATH, $a to $b", "$HOME/$PATH, $a to $b"],
  ["\\$5 and \\$6", "$5 and $6"],
  [String.raw`C:\Users\in\alpha and C:\temp`, String.raw`C:\Users\in\alpha and C:\temp`],
  [String.raw`\d+\w`, String.raw`\d+\w`],
  ["^^, snake_case, a_b_1, item_1 and H_2O", "^^, snake_case, a_b_1, item_1 and H_2O"],
  [String.raw`\(see below\) \[link\](u)`, "see below link(u)"],
])

test("no formula leaves a backslash, a brace or a dollar", () => {
  const formulas = [
    String.raw`\nabla \times \vec{E} = -\frac{\partial \vec{B}}{\partial t}`,
    String.raw`\begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix}`,
    String.raw`P(A \mid B) = \dfrac{P(B \mid A)\,P(A)}{P(B)}`,
    String.raw`\left\{ x \in \mathbb{R} : x \geq 0 \right\}`,
    String.raw`\lim_{n\to\infty} \left(1 + \frac{1}{n}\right)^n = e`,
    String.raw`f(x)=\begin{cases} 1 & \text{if } x > 0 \\ 0 & \text{otherwise} \end{cases}`,
    String.raw`\ce{H2O} \Rightarrow \mathrm{OH}^- + \mathrm{H}^+`,
  ]
  for (const formula of formulas) {
    for (const [open, close] of [
      ["$", "$"],
      ["$$", "$$"],
      ["\\(", "\\)"],
      ["\\[", "\\]"],
    ]) {
      expect(toSpokenText(`So ${open}${formula}${close}.`)).not.toMatch(/[\\$]|[a-z]\{/)
    }
  }
})

test("a formula that is nested too deeply is read as far as its depth allows", () => {
  for (const [open, close] of [
    ["{", "}"],
    ["\\sqrt{", "}"],
    ["\\sqrt[", "]"],
    ["\\frac{1}{", "}"],
    ["x^{", "}"],
    ["\\hat{", "}"],
  ]) {
    expect(toSpokenText(`So $x = ${open?.repeat(31)}\\alpha ${close?.repeat(31)}$.`)).toMatch(
      /^So x equals.*\.$/,
    )
  }
})

test("a formula that is too long to be said is dropped", () => {
  const text = `Here: $${"a<".repeat(1000)}b$ is all.`
  expect(toSpokenText(text)).toBe("Here: is all.")
  // The longest text of a segment, and what voices accept.
  for (const unit of ["$a<b$ ", "$a+b$|", "x^2 ", "$=$", String.raw`\le `]) {
    expect(toSpokenText(unit.repeat(2000 / unit.length)).length).toBeLessThan(4096)
  }
})
