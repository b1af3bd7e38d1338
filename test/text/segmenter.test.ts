import { describe, expect, test } from "bun:test"
import { FastCheck } from "effect"
import {
  finish,
  flush,
  initialState,
  push,
  type Segment,
  type SegmenterState,
} from "../../src/text/segmenter.ts"

/** OpenAI's limit for the input of one text-to-speech request, in characters. */
const INPUT_MAX = 4096

const cut = (tokens: ReadonlyArray<string>, limit = initialState.limit): ReadonlyArray<Segment> => {
  let state: SegmenterState = { ...initialState, limit }
  const segments: Array<Segment> = []
  for (const token of tokens) {
    const [next, more] = push(state, token)
    state = next
    segments.push(...more)
  }
  return [...segments, ...finish(state)[1]]
}

const written = (...tokens: ReadonlyArray<string>): SegmenterState =>
  tokens.reduce((state, token) => push(state, token)[0], initialState)

const spoken = (segments: ReadonlyArray<Segment>): ReadonlyArray<string> =>
  segments.map((segment) => segment.spoken)
const joined = (segments: ReadonlyArray<Segment>): string => segments.map((segment) => segment.text).join("")
const words = (text: string): ReadonlyArray<string> => text.match(/\s?\S+|\s/g) ?? []

const sentence = (length: number): string => ` S${"o".repeat(length - 3)}.`

describe("the first segment", () => {
  test("is the first sentence, released with its last token", () => {
    const [state] = push(initialState, "The sky is blue")
    expect(push(state, ".")[1]).toEqual([{ index: 0, text: "The sky is blue.", spoken: "The sky is blue." }])
  })

  test("may be tiny", () => {
    expect(push(initialState, "Sure.")[1]).toHaveLength(1)
    expect(spoken(cut(words("Hi! I am here to help you today, as always.")))).toEqual([
      "Hi!",
      "I am here to help you today, as always.",
    ])
  })

  test("takes a second sentence only after a tiny one, in the same token", () => {
    expect(push(initialState, "Sure. Here it comes. And more")[1][0]?.spoken).toBe("Sure. Here it comes.")
    expect(push(initialState, "This one is long enough. Here it comes.")[1][0]?.spoken).toBe(
      "This one is long enough.",
    )
    expect(push(initialState, `Sure.${sentence(118)}`)[1][0]?.spoken).toBe("Sure.")
  })

  test("is cut at its last clause from 120 characters on", () => {
    const clause = `${"some words ".repeat(6)}here, `
    const [first] = cut(words(`${clause}${clause}and ${"so on ".repeat(10)}.`))
    expect(first?.text).toBe((clause + clause).slice(0, -7).replace(/,[^,]*$/, ","))
  })

  test("is not cut inside numbers, nor too short", () => {
    const text = `Well, at 10:30 it was 1,000 ${"and more ".repeat(12)}`
    expect(push(initialState, text)[1]).toEqual([])
  })

  test("is cut at a word from 240 characters on", () => {
    const [first] = cut(words(`${"word ".repeat(80)}end.`))
    expect(first?.text).toMatch(/word$/)
    expect(first?.text.length).toBeWithin(230, 241)
  })

  test("is shorter in Chinese", () => {
    const [first] = cut([..."我们今天要去公园散步，".repeat(8)])
    expect(first?.text).toBe("我们今天要去公园散步，".repeat(3))
  })

  test("takes text without words along", () => {
    expect(cut(["👋\n\n", "---\n", "Hello there."])).toEqual([
      { index: 0, text: "👋\n\n---\nHello there.", spoken: "Hello there." },
    ])
  })
})

describe("later segments", () => {
  test("grow to about 200 characters of whole sentences", () => {
    const segments = cut(words(`Yes.${sentence(45).repeat(20)}`))
    expect(segments.map((segment) => segment.text.length)).toEqual([4, 90, 135, 225, 225, 225])
  })

  test("do not take a sentence that makes them too long", () => {
    const segments = cut(words(`Yes.${sentence(100)}${sentence(120)}${sentence(150)}${sentence(390)} End.`))
    expect(segments.map((segment) => segment.text.length)).toEqual([4, 100, 120, 150, 390, 5])
  })

  test("are released before an incomplete sentence that does not fit", () => {
    const state = written("Yes.", sentence(40))
    expect(push(state, ` And ${"so on ".repeat(14)}`)[1].map((segment) => segment.text.length)).toEqual([40])
  })
})

describe("code fences", () => {
  const reply = "Here it is:\n\n```js\nlet a = 1. // Really? Yes.\n```\n\nRun it now.\n"

  test("are not spoken, and release the text before them", () => {
    expect(spoken(cut([...reply]))).toEqual(["Here it is:", "Run it now."])
    const before = written("Yes.", " Here it is:\n\n", "```")
    expect(before.spoken).toBe("Here it is:")
    expect(spoken(push(before, "js\n")[1])).toEqual(["Here it is:"])
  })

  test("end at an equal fence, or with the reply", () => {
    expect(spoken(cut([..."````\na\n```\nb\n````\nDone."]))).toEqual(["Done."])
    expect(spoken(cut([..."~~~\na\n```\nb. "]))).toEqual([""])
    expect(spoken(cut([..."> ```\n> a\n> ```\nDone."]))).toEqual(["Done."])
    expect(spoken(cut([..."- ```sh\n  ls\n  ```\nDone."]))).toEqual(["Done."])
  })

  test("are not inline code", () => {
    expect(spoken(cut([..."```npm i``` does it. Good."]))).toEqual(["npm i does it.", "Good."])
  })
})

describe("a flush", () => {
  test("releases complete sentences and keeps the incomplete one", () => {
    const [state, segments] = flush(written("Yes.", " It is so.", " And the next"))
    expect(spoken(segments)).toEqual(["It is so."])
    expect(state.tail).toBe(" And the next")
  })

  test("cuts an incomplete sentence at a clause or its last word", () => {
    expect(spoken(flush(written("When the sun comes up, we will"))[1])).toEqual(["When the sun comes up,"])
    expect(spoken(flush(written("The capital of France is Par"))[1])).toEqual(["The capital of France is"])
    expect(spoken(flush(written("今天的天气很好，我们一起去公园吧"))[1])).toEqual(["今天的天气很好，"])
    expect(spoken(flush(written("วันนี้อากาศดีมากเราไปเดินเล่นกันเถอะ"))[1])).toHaveLength(1)
  })

  test("takes an undecided stop for the end", () => {
    expect(spoken(flush(written("The answer to all that is 42."))[1])).toEqual([
      "The answer to all that is 42.",
    ])
  })

  test("keeps a few letters, possible fences and code", () => {
    for (const text of [
      "Well",
      "I think",
      "Supercalifragilisticexpialidocious",
      "```javascript of some kind",
    ]) {
      expect(flush(written(text))[1]).toEqual([])
    }
    expect(flush(written("```\nsome code that goes on"))[1]).toEqual([])
  })
})

const fragment = FastCheck.oneof(
  { weight: 3, arbitrary: FastCheck.lorem({ maxCount: 3, mode: "sentences" }) },
  { weight: 3, arbitrary: FastCheck.string({ unit: "grapheme" }) },
  {
    weight: 2,
    arbitrary: FastCheck.constantFrom(" ", "\n", ". ", "? ", "。", ", ", "…", "।", '"', ") ", "**"),
  },
  {
    weight: 2,
    arbitrary: FastCheck.constantFrom(
      "```\n",
      "\n```js\n",
      "~~~",
      "Dr. ",
      "3.14",
      "1. ",
      "- ",
      "| a | b |\n",
      "😀",
    ),
  },
  { weight: 1, arbitrary: FastCheck.integer({ min: 1, max: 9000 }).map((n) => "a".repeat(n)) },
  { weight: 1, arbitrary: FastCheck.integer({ min: 1, max: 3000 }).map((n) => "|x".repeat(n)) },
)
const reply = FastCheck.array(fragment).map((parts) => parts.join(""))

/** A reply in tokens that may end anywhere, also inside an emoji. */
const tokens = FastCheck.tuple(reply, FastCheck.infiniteStream(FastCheck.integer({ min: 1, max: 300 }))).map(
  ([text, sizes]) => {
    const parts: Array<string> = []
    for (let at = 0; at < text.length; ) {
      const size = sizes.next().value ?? 1
      parts.push(text.slice(at, at + size))
      at += size
    }
    return parts
  },
)

describe("for any reply in any tokens", () => {
  test("segments join to the reply, in order, none too long", () => {
    FastCheck.assert(
      FastCheck.property(tokens, (parts) => {
        const segments = cut(parts)
        expect(joined(segments)).toBe(parts.join(""))
        expect(segments.map((segment) => segment.index)).toEqual(segments.map((_, i) => i))
        for (const segment of segments) expect(segment.spoken.length).toBeLessThanOrEqual(INPUT_MAX)
        // Only the last may have no words, and none is empty.
        for (const segment of segments.slice(0, -1)) expect(segment.spoken).not.toBe("")
        for (const segment of segments) expect(segment.text).not.toBe("")
      }),
      { numRuns: 500 },
    )
  })

  test("flushes lose and repeat nothing", () => {
    FastCheck.assert(
      FastCheck.property(tokens, FastCheck.infiniteStream(FastCheck.boolean()), (parts, flushes) => {
        let state = initialState
        const segments: Array<Segment> = []
        for (const part of parts) {
          const [next, more] = push(state, part)
          const [after, flushed] = flushes.next().value ? flush(next) : ([next, []] as const)
          segments.push(...more, ...flushed)
          state = after
        }
        segments.push(...finish(state)[1])
        expect(joined(segments)).toBe(parts.join(""))
        expect(segments.map((segment) => segment.index)).toEqual(segments.map((_, i) => i))
      }),
      { numRuns: 300 },
    )
  })

  test("no cut splits a character in two, if the tokens do not", () => {
    const segments = cut([..."👍🏽".repeat(3000), ..."e\u0301".repeat(3000)])
    for (const segment of segments) expect(segment.text).toMatch(/^(?:👍🏽|e\u0301)*$/u)
  })
})

describe("with a limit", () => {
  const marks = `The answer is ${"one more thing and ".repeat(30)}that is all.`
  test.each([
    ["a sentence without marks", marks],
    ["clauses", `${"This is a clause, ".repeat(40)}and the end.`],
    ["short sentences", "A sentence of some length is here. ".repeat(30)],
    ["Chinese", `${"今天天气很好，".repeat(60)}我们去公园。`],
    ["Chinese without marks", `${"今天天气很好".repeat(80)}。`],
    ["one long word", `${"abcdefghij".repeat(60)}.`],
    ["emoji families and words", `${"word 👨‍👩‍👧‍👦 ".repeat(60)}end.`],
    ["a list", "- An item of a list without a stop\n".repeat(20)],
    ["a table", "| one | two | three |\n".repeat(30)],
    ["links", "See [the long documentation](https://example.com/a/b/c) now. ".repeat(10)],
    ["surrogate pairs", "𝒳".repeat(400)],
  ])("%s", (_, text) => {
    for (const limit of [50, 97, 200]) {
      const segments = cut(words(text), limit)
      const longest = Math.max(...segments.map(({ spoken }) => spoken.length))
      expect({ limit, fits: longest <= limit }).toEqual({ limit, fits: true })
      expect(joined(segments)).toBe(text)
      expect(spoken(segments).every((each) => each.isWellFormed())).toBe(true)
    }
  })

  test("a sentence without marks is cut between words", () => {
    const segments = cut(words(marks), 200)
    expect(spoken(segments).join(" ").replaceAll(/\s+/g, " ")).toBe(marks)
    expect(segments.length).toBeLessThan(6)
  })

  test("a clause comes before a word", () => {
    const text = `${"So many words are here ".repeat(5)}now, and ${"so on and so on ".repeat(6)}here.`
    expect(cut([text], 150)[0]?.spoken).toEndWith("now,")
  })

  test("that is not reached changes nothing", () => {
    const text = "One is here. Two is here, and it is longer. Three is here.\n\n- Four\n- Five\n"
    expect(cut(words(text), 200)).toEqual(cut(words(text)))
  })

  test("no text breaks it, in any tokens and with flushes", () => {
    const limits = FastCheck.integer({ min: 50, max: 400 })
    FastCheck.assert(
      FastCheck.property(
        tokens,
        limits,
        FastCheck.infiniteStream(FastCheck.boolean()),
        (parts, limit, flushes) => {
          let state: SegmenterState = { ...initialState, limit }
          const segments: Array<Segment> = []
          for (const part of parts) {
            for (const change of [(each: SegmenterState) => push(each, part), flush]) {
              if (change === flush && flushes.next().value !== true) continue
              const [next, more] = change(state)
              state = next
              segments.push(...more)
            }
          }
          segments.push(...finish(state)[1])
          expect(segments.every(({ spoken }) => spoken.length <= limit)).toBe(true)
          expect(joined(segments)).toBe(parts.join(""))
        },
      ),
    )
  })
})

test.each([" ", "`", "~", ">", "> ", "\t", "` ", "``` "])("a line of %j in code waits in bounds", (unit) => {
  // A text of 2000 units is cut.
  for (const before of ["", "```\n", "~~~\n", "A.\n> ```\n"]) {
    let state: SegmenterState = push(initialState, before)[0]
    let held = 0
    for (const token of Array.from(unit.repeat(6000))) {
      state = push(state, token)[0]
      held = Math.max(held, state.tail.length)
    }
    expect(held).toBeLessThanOrEqual(2000)
  }
})

test("a long line is no closing fence, however it comes", () => {
  const long = " ".repeat(300)
  for (const line of [`${long}\`\`\``, `\`\`\`${long}`, "`".repeat(300)]) {
    const reply = `Code:\n\`\`\`\n${line}\nx = 1\n\`\`\`\nParis.`
    expect(
      spoken(cut([reply]))
        .join(" ")
        .trim(),
    ).toBe("Code: Paris.")
    expect(
      spoken(cut(Array.from(reply)))
        .join(" ")
        .trim(),
    ).toBe("Code: Paris.")
  }
})
