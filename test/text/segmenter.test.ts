import { describe, expect, test } from "bun:test"
import { FastCheck } from "effect"
import { type Cutting, finish, nothingYet, nudge, type Piece, write } from "../../src/text/segmenter.ts"

/** OpenAI's limit for the input of one text-to-speech call, in characters. */
const INPUT_MAX = 4096

const cut = (tokens: ReadonlyArray<string>): ReadonlyArray<Piece> => {
  let state = nothingYet
  const pieces: Array<Piece> = []
  for (const token of tokens) {
    const [next, more] = write(state, token)
    state = next
    pieces.push(...more)
  }
  return [...pieces, ...finish(state)[1]]
}

const written = (...tokens: ReadonlyArray<string>): Cutting =>
  tokens.reduce((state, token) => write(state, token)[0], nothingYet)

const spoken = (pieces: ReadonlyArray<Piece>): ReadonlyArray<string> => pieces.map((piece) => piece.spoken)
const joined = (pieces: ReadonlyArray<Piece>): string => pieces.map((piece) => piece.text).join("")
const words = (text: string): ReadonlyArray<string> => text.match(/\s?\S+|\s/g) ?? []

const sentence = (length: number): string => ` S${"o".repeat(length - 3)}.`

describe("the first piece", () => {
  test("is the first sentence, and leaves with the token that ends it", () => {
    const [state] = write(nothingYet, "The sky is blue")
    expect(write(state, ".")[1]).toEqual([{ index: 0, text: "The sky is blue.", spoken: "The sky is blue." }])
  })

  test("may be tiny: sound starts early", () => {
    expect(write(nothingYet, "Sure.")[1]).toHaveLength(1)
    expect(spoken(cut(words("Hi! I am here to help you today, as always.")))).toEqual([
      "Hi!",
      "I am here to help you today, as always.",
    ])
  })

  test("takes a second sentence only if the first is tiny and the second is there already", () => {
    expect(write(nothingYet, "Sure. Here it comes. And more")[1][0]?.spoken).toBe("Sure. Here it comes.")
    expect(write(nothingYet, "This one is long enough. Here it comes.")[1][0]?.spoken).toBe(
      "This one is long enough.",
    )
    expect(write(nothingYet, `Sure.${sentence(118)}`)[1][0]?.spoken).toBe("Sure.")
  })

  test("is cut at its last clause past 120 characters", () => {
    const clause = `${"some words ".repeat(6)}here, `
    const [first] = cut(words(`${clause}${clause}and ${"so on ".repeat(10)}.`))
    expect(first?.text).toBe((clause + clause).slice(0, -7).replace(/,[^,]*$/, ","))
  })

  test("is not cut inside numbers, and not at a scrap", () => {
    const text = `Well, at 10:30 it was 1,000 ${"and more ".repeat(12)}`
    expect(write(nothingYet, text)[1]).toEqual([])
  })

  test("is cut at a word past 240 characters without a clause", () => {
    const [first] = cut(words(`${"word ".repeat(80)}end.`))
    expect(first?.text).toMatch(/word$/)
    expect(first?.text.length).toBeWithin(230, 241)
  })

  test("is shorter in scripts that say more with a character", () => {
    const [first] = cut([..."我们今天要去公园散步，".repeat(8)])
    expect(first?.text).toBe("我们今天要去公园散步，".repeat(3))
  })

  test("is never empty to the ear: what says nothing goes along with what follows", () => {
    expect(cut(["👋\n\n", "---\n", "Hello there."])).toEqual([
      { index: 0, text: "👋\n\n---\nHello there.", spoken: "Hello there." },
    ])
  })
})

describe("later pieces", () => {
  test("grow to about 200 characters of whole sentences", () => {
    const pieces = cut(words(`Yes.${sentence(45).repeat(20)}`))
    expect(pieces.map((piece) => piece.text.length)).toEqual([4, 90, 135, 225, 225, 225])
  })

  test("do not take a sentence that would make them much larger", () => {
    const pieces = cut(words(`Yes.${sentence(100)}${sentence(120)}${sentence(150)}${sentence(390)} End.`))
    expect(pieces.map((piece) => piece.text.length)).toEqual([4, 100, 120, 150, 390, 5])
  })

  test("leave before a sentence under way that would not fit", () => {
    const state = written("Yes.", sentence(40))
    expect(write(state, ` And ${"so on ".repeat(14)}`)[1].map((piece) => piece.text.length)).toEqual([40])
  })
})

describe("code fences", () => {
  const reply = "Here it is:\n\n```js\nlet a = 1. // Really? Yes.\n```\n\nRun it now.\n"

  test("are not spoken, and what stands before them does not wait for their end", () => {
    expect(spoken(cut([...reply]))).toEqual(["Here it is:", "Run it now."])
    const before = written("Yes.", " Here it is:\n\n", "```")
    expect(before.spoken).toBe("Here it is:")
    expect(spoken(write(before, "js\n")[1])).toEqual(["Here it is:"])
  })

  test("end at a fence as long as theirs, or with the reply", () => {
    expect(spoken(cut([..."````\na\n```\nb\n````\nDone."]))).toEqual(["Done."])
    expect(spoken(cut([..."~~~\na\n```\nb. "]))).toEqual([""])
    expect(spoken(cut([..."> ```\n> a\n> ```\nDone."]))).toEqual(["Done."])
    expect(spoken(cut([..."- ```sh\n  ls\n  ```\nDone."]))).toEqual(["Done."])
  })

  test("are told from code within a line", () => {
    expect(spoken(cut([..."```npm i``` does it. Good."]))).toEqual(["npm i does it.", "Good."])
  })
})

describe("a nudge", () => {
  test("lets whole sentences go and keeps the one under way", () => {
    const [state, pieces] = nudge(written("Yes.", " It is so.", " And the next"))
    expect(spoken(pieces)).toEqual(["It is so."])
    expect(state.tail).toBe(" And the next")
  })

  test("cuts the sentence under way at a clause, or before its last word", () => {
    expect(spoken(nudge(written("When the sun comes up, we will"))[1])).toEqual(["When the sun comes up,"])
    expect(spoken(nudge(written("The capital of France is Par"))[1])).toEqual(["The capital of France is"])
    expect(spoken(nudge(written("今天的天气很好，我们一起去公园吧"))[1])).toEqual(["今天的天气很好，"])
    expect(spoken(nudge(written("วันนี้อากาศดีมากเราไปเดินเล่นกันเถอะ"))[1])).toHaveLength(1)
  })

  test("takes a stop that was waited on for the end", () => {
    expect(spoken(nudge(written("The answer to all that is 42."))[1])).toEqual([
      "The answer to all that is 42.",
    ])
  })

  test("leaves scraps, halves of fences and code", () => {
    for (const text of [
      "Well",
      "I think",
      "Supercalifragilisticexpialidocious",
      "```javascript of some kind",
    ]) {
      expect(nudge(written(text))[1]).toEqual([])
    }
    expect(nudge(written("```\nsome code that goes on"))[1]).toEqual([])
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

/** A reply and some way to split it into tokens, in code units: a token may end inside an emoji. */
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
  test("the pieces' texts are the reply, numbered in order, none too long to speak", () => {
    FastCheck.assert(
      FastCheck.property(tokens, (parts) => {
        const pieces = cut(parts)
        expect(joined(pieces)).toBe(parts.join(""))
        expect(pieces.map((piece) => piece.index)).toEqual(pieces.map((_, i) => i))
        for (const piece of pieces) expect(piece.spoken.length).toBeLessThanOrEqual(INPUT_MAX)
        // Only the last can have nothing to say, and none is empty.
        for (const piece of pieces.slice(0, -1)) expect(piece.spoken).not.toBe("")
        for (const piece of pieces) expect(piece.text).not.toBe("")
      }),
      { numRuns: 500 },
    )
  })

  test("nudges at any time lose and repeat nothing", () => {
    FastCheck.assert(
      FastCheck.property(tokens, FastCheck.infiniteStream(FastCheck.boolean()), (parts, nudges) => {
        let state = nothingYet
        const pieces: Array<Piece> = []
        for (const part of parts) {
          const [next, more] = write(state, part)
          const [after, nudged] = nudges.next().value ? nudge(next) : ([next, []] as const)
          pieces.push(...more, ...nudged)
          state = after
        }
        pieces.push(...finish(state)[1])
        expect(joined(pieces)).toBe(parts.join(""))
        expect(pieces.map((piece) => piece.index)).toEqual(pieces.map((_, i) => i))
      }),
      { numRuns: 300 },
    )
  })

  test("no cut splits a character in two, if the tokens do not", () => {
    const pieces = cut([..."👍🏽".repeat(3000), ..."e\u0301".repeat(3000)])
    for (const piece of pieces) expect(piece.text).toMatch(/^(?:👍🏽|e\u0301)*$/u)
  })
})
