import { describe, expect, test } from "bun:test"
import { plausible } from "../../../../src/providers/offline/engine/plausible.ts"

/** As the decoder writes it, a token for each word and mark. */
const heard = (text: string, seconds = 15, tokensPerSecond = 6.5) =>
  plausible(text.match(/ ?[\w']+|[^\w\s]/g) ?? [], text, seconds, tokensPerSecond)

test.each([
  "Hello, my name is Robert.",
  "No, no, no, no.",
  "Row, row, row your boat.",
  "My number is 5 5 5 5 5 5 1 2.",
  "Again and again and again and again.",
  "",
])("%p is kept", (text) => {
  expect(heard(text)).toBe(text)
})

describe("a phrase that the decoder repeats is kept once", () => {
  test("a word", () => {
    expect(heard(`I see. ${"How? ".repeat(60)}`)).toBe("I see. How?")
  })

  test("a long phrase, in the middle", () => {
    const loop = "and then he said to her, ".repeat(8)
    expect(heard(`First, ${loop}goodbye.`)).toBe("First, and then he said to her, goodbye.")
  })

  test("whatever its case and marks", () => {
    expect(heard("The end. the end, The End! the end the end The end. The end. The end.")).toBe("The end.")
  })

  test("a phrase that is cut off at the last time", () => {
    expect(heard(`${"go to the very end ".repeat(5)}go to`)).toBe("go to the very end go to")
  })
})

describe("more tokens than the time allows", () => {
  const words = Array.from({ length: 200 }, (_, index) => `word${index}`).join(" ")

  test("6.5 a second", () => {
    expect(heard(words, 10).split(" ").length).toBe(65)
  })

  test("a short reply has enough", () => {
    expect(heard("Yes, of course I do!", 0.4)).toBe("Yes, of course I do!")
  })
})
