import { describe, expect, test } from "bun:test"
import { FastCheck } from "effect"
import { toSpokenText } from "../../src/text/spoken-text.ts"

const table = (name: string, cases: ReadonlyArray<readonly [text: string, spoken: string]>): void =>
  describe(name, () => {
    for (const [text, spoken] of cases) {
      test(JSON.stringify(text), () => expect(toSpokenText(text)).toBe(spoken))
    }
  })

table("formatting is removed", [
  ["**Hello** *you*, ***both*** of __you__ and _me_.", "Hello you, both of you and me."],
  ["~~old~~ new", "old new"],
  ["这是**重要**的，*真的*。", "这是重要的，真的。"],
  ["`code` and ``a`b``", "code and ab"],
  ["## A title ##\n", "A title."],
  ["Title\n=====\nText", "Title. Text"],
  ["**Ingredients**\n", "Ingredients."],
  ["> quoted text\n", "quoted text."],
  ["\\*not bold\\* and 1\\. not a list", "*not bold* and 1. not a list"],
  ["___a___ __ b_ _c, d__e (_f_) \\__g_", "a b c, d__e (f) __g"],
  ["a<br>b <b>bold</b><!-- no -->", "a b bold"],
  ["==marked== a == b, a==b", "marked a == b, a==b"],
  ["a\\\nb", "a. b"],
  ["\\$5, 10\\%, a\\_b", "$5, 10%, a_b"],
])

table("entities are decoded once", [
  ["Tom &amp; Jerry&#39;s", "Tom & Jerry's"],
  ["caf&eacute; &mdash; 5&nbsp;&euro;&hellip;", "café — 5 €…"],
  ["it&#8217;s, it&#x2019;s, it&rsquo;s", "it’s, it’s, it’s"],
  ["&amp;lt; &lt;b&gt; &amp;#39;x", "&lt; <b> &#39;x"],
  ["AT&T, R&D; &notanentity; &copy &;", "AT&T, R&D; &notanentity; &copy &;"],
  ["&#128512; x&#8203;y&shy;z &#x110000;", "xyz"],
  ["&Agrave;&agrave;", "Àà"],
])

table("characters without a sound are removed", [
  [
    "zero\u200bwidth, word\u2060joiner, \ufeffmark, soft\u00adhyphen",
    "zerowidth, wordjoiner, mark, softhyphen",
  ],
  ["\u202ebidi\u202c \u200fx\u200e \u2066y\u2069 \u061cz", "bidi x y z"],
  ["Auf\u200clage a\u200db \u200cstart", "Auflage ab start"],
  ["a\u00a0b\u202fc\u3000d\u2009e\u2800f", "a b c d e f"],
  ["line\u2028next\u2029next\r\nnext\rnext\u0085next", "line. next. next. next. next. next"],
  ["字\u{e0100}, x\ufe00", "字, x"],
  ["\ue000x \u{f0000}y \u{10fffd}z", "x y z"],
  ["\u001b[1;31mred\u001b[0m \u001b]8;;http://a.b\u0007link\u001b]8;;\u001b\\ \u009b1mx", "red link x"],
  ["a\u0000b\u0008\u007f\u009f", "ab"],
  ["𝐇𝐞𝐥𝐥𝐨, 𝘄𝗼𝗿𝗹𝗱 𝟚", "Hello, world 2"],
  ["half\ud83d, \udc4d", "half,"],
  ["\u200b\u2060\u00ad", ""],
  ["tag\u{e0041}\u{e0042}ged", "tagged"],
])

table("citations and footnotes are not read", [
  ["Paris is big[1][2].", "Paris is big."],
  ["Paris is big [3, 4], or so [5-7].", "Paris is big, or so."],
  ["[1] London is too.", "London is too."],
  ["It is[^1] so[^note].", "It is so."],
  ["[^1]: The note.\n", "The note."],
  ["It is so【1】【2:0†a.pdf】.", "It is so."],
  ["So\ue200cite\ue202turn0search0\ue201 it is.", "So it is."],
  ["So :contentReference[oaicite:0]{index=0} it is.", "So it is."],
  ["`a[1]`, a[0] and a[1] = 2", "a[1], a[0] and a[1] = 2"],
  ["[2](https://a.b) [see][1]", "2 see"],
])

table("half of a pair, after a cut", [
  ["**Hello there.", "Hello there."],
  ["How are you?**", "How are you?"],
  ["_Well then.", "Well then."],
  ["[Read this", "Read this"],
  ["article](https://x.y/z).", "article."],
  ["” she said.", "she said."],
  ['" she said.', "she said."],
  [") And so on.", "And so on."],
  ["...and then", "and then"],
])

table("links become their text, addresses their host", [
  ["[the page](https://a.b/c_(d)) here", "the page here"],
  ['[the page](https://a.b/c "Title")', "the page"],
  ["![a cat](cat.png)", "a cat"],
  ["[the page][1]", "the page"],
  ["See https://www.example.com/a/b?x=1.", "See example.com."],
  ["(see http://user:pw@a.example:8080/b).", "(see a.example)."],
  ["<https://a.b/c>", "a.b"],
  ["www.example.org/x, please", "example.org, please"],
  ["请访问https://example.com/a。谢谢", "请访问example.com。谢谢"],
  ["me@example.com", "me@example.com"],
  ["It is so【4†source】.", "It is so."],
])

table("a list item or row without an end mark gets a stop", [
  ["- apples\n", "apples."],
  ["* apples, and *more*\n", "apples, and more."],
  ["- [x] done\n", "done."],
  ["1. **Bold** item\n", "1. Bold item."],
  ["2) second", "2) second."],
  ["- is it?\n", "is it?"],
  ["- (is it?)\n", "(is it?)"],
  ["- as follows:\n", "as follows:"],
  ["- 买菜\n", "买菜。"],
  ["- दूध\n", "दूध।"],
  ["- حليب\n", "حليب."],
  ["| Name | Age |\n|------|:---:|\n| Ann | 30 |\n", "Name, Age. Ann, 30."],
  ["Name | Age\n--- | ---\nAnn | 30\nBob | 25", "Name, Age. Ann, 30. Bob, 25."],
  ["a | b\n:-- | --:\n1 | 2", "a, b. 1, 2."],
  ["a | b | c\n|--||:|\n1 | 2 | 3", "a, b, c. 1, 2, 3."],
  ["Ann | 30\n", "Ann, 30."],
  ["Ann | 30 | Paris", "Ann, 30, Paris."],
  ["| Ann | 30\nBob | 25 |\n", "Ann, 30. Bob, 25."],
  ["| a \\| b | c |\n", "a | b, c."],
  ["Term\n: Its definition\n", "Term. Its definition."],
  ["Roses are red\nViolets are blue\n", "Roses are red. Violets are blue."],
])

table("what only looks like formatting stays", [
  ["snake_case and a_b_c", "snake_case and a_b_c"],
  ["2*3 and 2 * 3 and 2**3", "2*3 and 2 * 3 and 2**3"],
  ["#1 in C#, F# and C++", "#1 in C#, F# and C++"],
  ["€5, $3.50, 20%, 5°", "€5, $3.50, 20%, 5°"],
  ["It's the dogs' 'thing', don't", "It's the dogs' 'thing', don't"],
  ["x < y > z, List<String>", "x < y > z, List<String>"],
  ["-5 degrees and ~5 minutes", "-5 degrees and ~5 minutes"],
  ["“Hi” «hé»", "“Hi” «hé»"],
  ["Use a | b to pipe.", "Use a | b to pipe."],
  ["Is it a | b?\n", "Is it a | b?"],
  ["a || b\n", "a || b."],
  ["10:30 and : so", "10:30 and : so"],
  ["x² + ½ ³", "x² + ½ ³"],
  ["© 2024 Acme™", "© 2024 Acme™"],
])

table("scripts stay as they are", [
  ["¿Qué tal, señor?", "¿Qué tal, señor?"],
  ["こんにちは、世界。", "こんにちは、世界。"],
  ["안녕하세요 여러분", "안녕하세요 여러분"],
  ["मैं ठीक हूँ।", "मैं ठीक हूँ।"],
  // Zero-width joiners are part of the spelling.
  ["می\u200cخواهم", "می\u200cخواهم"],
  ["क्\u200dष", "क्\u200dष"],
  ["ສະບາຍດີ สวัสดี", "ສະບາຍດີ สวัสดี"],
])

table("emoji are not read", [
  ["Great 🎉! Yes 👍🏽.", "Great! Yes."],
  ["👨‍👩‍👧‍👦 family 🏳️‍🌈 🏴󠁧󠁢󠁥󠁮󠁧󠁿 flags 🇫🇷🇩🇪", "family flags"],
  ["I ❤️ you", "I you"],
  ["I ❤ you", "I you"],
  ["👩‍⚕️ 🏳‍🌈 👩‍❤‍💋‍👨 here", "here"],
  ["1️⃣ first", "1 first"],
  ["#️⃣ first", "# first"],
  ["©️ 2024, ‼️", "© 2024, ‼"],
  ["Hi😀there", "Hi there"],
  ["Done ✅", "Done"],
])

table("text without words is empty", [
  ["", ""],
  [" \n\n ", ""],
  ["**", ""],
  ["---\n", ""],
  ["* * *", ""],
  ["😀👍🏽🇫🇷", ""],
  ["|---|---|\n", ""],
  ["...!", ""],
  ["```js\nconst a = 1\n```", ""],
  ["~~~\nopen", ""],
])

table("code blocks are removed", [
  ["Before.\n```js\nlet a = 1.\n```\nAfter.", "Before. After."],
  ["Before:\n  ~~~~\n```\n~~~~\nAfter.", "Before: After."],
  ["Before.\n```\nnever closed", "Before."],
])

const markdown = FastCheck.array(
  FastCheck.oneof(
    FastCheck.string({ unit: "grapheme", maxLength: 5 }),
    FastCheck.constantFrom(..."*_`~#>|-[]()!<&.\n \\$^{}=;:"),
    FastCheck.constantFrom(
      "```",
      "https://",
      "www.",
      "**",
      "- ",
      "1. ",
      "</b>",
      "😀",
      "\u200d",
      "\u200b",
      "\u001b[",
      "\\frac",
      "\\(",
      "$$",
      "&#x",
      "&lt;",
      "\ufe0f",
      "字",
    ),
  ),
).map((parts) => parts.join(""))

describe("for any text", () => {
  test("the result is one line, trimmed, and at most twice as long and 1000 characters more", () => {
    FastCheck.assert(
      FastCheck.property(markdown, (text) => {
        const spoken = toSpokenText(text)
        expect(spoken).not.toMatch(/\n|^\s|\s$/)
        expect(spoken.length).toBeLessThanOrEqual(2 * text.length + 1000)
      }),
      { numRuns: 2000 },
    )
  })

  test("plain words are kept as they are", () => {
    const word = FastCheck.array(FastCheck.constantFrom(..."abcXYZ019éßøяЖωאבعم字語かカ한글कสጀ"), {
      minLength: 1,
    }).map((w) => w.join(""))
    FastCheck.assert(
      FastCheck.property(FastCheck.array(word, { minLength: 1 }), (words) => {
        expect(toSpokenText(`A ${words.join(" ")}`)).toBe(`A ${words.join(" ")}`)
      }),
    )
  })

  /** Beginnings of constructs that never end. A search that starts again at each of them would take minutes. */
  const beginnings = [
    "[",
    "](",
    "[a](",
    "【",
    "【†",
    "$",
    "$$",
    "$a",
    "\\(",
    "\\[",
    "\\begin{a}",
    "\\frac",
    "\\frac{",
    "\\sqrt[",
    "\\text{",
    "x^",
    "x^{",
    "{",
    "&",
    "&a",
    "&#",
    "<",
    "<a ",
    "<!--",
    "*",
    "**",
    "_",
    "~",
    "`",
    "```\n",
    "#",
    "# ",
    "> ",
    "- ",
    "|",
    "a | ",
    "|-",
    "==",
    "[^a",
    "[1",
    "[1,",
    "http://",
    "http://@",
    "www.a.",
    "\u001b]",
    "\u001b[",
    "\ue200",
    "\u200d",
    "👩",
    "\\",
    "\\ ",
    " ",
    "\n",
    " \n",
    "a",
    "1.",
    "字",
    "! ",
    "!)",
    ":contentReference[",
  ]
  test.each(beginnings)("100 KB of %j are read in linear time", (unit) => {
    for (const before of ["", "x ", "$", "\\("]) {
      const text = before + unit.repeat(Math.ceil(100_000 / unit.length))
      expect(toSpokenText(text).length).toBeLessThanOrEqual(2 * text.length + 1000)
    }
  })
})
