import { describe, expect, test } from "bun:test"
import { answerSum } from "../../../src/providers/offline/arithmetic.ts"
import { reply } from "../../../src/providers/offline/talker.ts"

const now = new Date(2026, 4, 6, 15, 7)

/** What is answered to the last of these, the ones before having been answered in their turn. */
const say = (...said: readonly string[]): string => {
  const messages = [{ role: "system", content: "You are a helpful voice assistant." }]
  let answer = ""
  for (const content of said) {
    messages.push({ role: "user", content })
    answer = reply(messages, now)
    messages.push({ role: "assistant", content: answer })
  }
  return answer
}

describe("the offline talker", () => {
  test.each([
    ["Hello!", /^Hello/],
    ["How are you doing today?", /I am well/],
    ["What time is it now?", /3:07\sPM/],
    ["What day is it?", /Wednesday, May 6, 2026/],
    ["Tell me a joke.", /microphone/],
    ["Thank you very much.", /welcome/],
    ["Goodbye.", /^Goodbye/],
    ["What can you do?", /remember your name/],
    ["Who are you?", /offline talker/],
    ["What's my name?", /not told me/],
    ["What did I just say?", /not said anything/],
    ["What is seven times six?", /7 times 6 is 42\./],
    ["…", /did not hear/],
  ])("%s", (said, expected) => {
    expect(say(said)).toMatch(expected)
  })

  test("remembers a name, the latest one told", () => {
    expect(say("Hello, my name is robert.")).toContain("Robert")
    expect(say("Hello, my name is robert.", "I like tea.", "What is my name?")).toBe("Your name is Robert.")
    expect(say("My name is Ann.", "Call me Bea.", "who am i")).toBe("Your name is Bea.")
  })

  test.each([
    "What did I just say?",
    "what did i just see",
    "but did i just say",
    "Please repeat that.",
    "will you remember what i said",
  ])("knows what was said before, asked as %s", (asked) => {
    expect(say("I have a small brown dog.", asked)).toBe('You just said: "I have a small brown dog."')
  })

  test("repeats its own last answer", () => {
    expect(say("Who are you?", "Can you say that again?")).toMatch(/^I said: I am the offline talker/)
  })

  test("reflects what it has no rule for, and says what would answer it", () => {
    const answer = say("The conference will begin when the leader arrives.")
    expect(answer).toContain('"The conference will begin when the leader arrives."')
    expect(answer).toContain("OPENAI_API_KEY")
    expect(say(`I said ${"word ".repeat(500)}`).length).toBeLessThan(300)
  })

  test("gives the same answer to the same conversation", () => {
    expect(say("joke", "joke")).toBe(say("joke", "joke"))
    expect(say("joke", "joke")).not.toBe(say("joke"))
  })
})

describe("sums", () => {
  test.each([
    ["what is two plus two", "2 plus 2 is 4."],
    ["What's 12 divided by 4?", "12 divided by 4 is 3."],
    ["twenty-three minus forty two", "23 minus 42 is minus 19."],
    ["one hundred and five times two thousand", "105 times 2000 is 210000."],
    ["nine hundred ninety nine plus one", "999 plus 1 is 1000."],
    ["two plus three times four", "2 plus 3 times 4 is 14."],
    ["10 / 4", "10 divided by 4 is 2.5."],
    ["ten over three", "10 divided by 3 is about 3.333."],
    ["two plus to", "2 plus 2 is 4."],
    ["five divided by zero", "5 divided by 0 has no answer: nothing can be divided by zero."],
  ])("%s", (asked, answer) => {
    expect(answerSum(asked)).toBe(answer)
  })

  test.each([
    "I have two dogs and three cats",
    "to the park for a walk",
    "plus",
    "it was minus five degrees",
    "he went over the hill",
  ])("%s is none", (said) => {
    expect(answerSum(said)).toBeUndefined()
  })
})
