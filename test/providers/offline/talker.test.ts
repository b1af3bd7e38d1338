import { describe, expect, test } from "bun:test"
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
    ["What time is it now?", /3:07\sPM/],
    ["What’s the time?", /3:07\sPM/],
    ["What day is it?", /Wednesday, May 6, 2026/],
    ["What's the date?", /Wednesday, May 6, 2026/],
    ["What can you do?", /no language model.*remember your name.*Ollama.*API key/],
    ["Who are you?", /built-in talker/],
    ["What is your name?", /built-in talker/],
    ["What's my name?", /not told me/],
    ["What did I just say?", /not said anything/],
    ["What is seven times six?", /I heard: "What is seven times six\?".*Ollama/],
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
    ["My name is Ann.", "Ann"],
    ["my name is robert i like tea", "Robert"],
    ["Hi, my name’s Zoë!", "Zoë"],
    ["My name is... Bob", "Bob"],
    ["Call me Al, please.", "Al"],
    ["I don't like tea. Call me Bea.", "Bea"],
    ["Don't worry, just call me O'Neil.", "O'Neil"],
    ["I am Peter.", "Peter"],
    ["Hello, I'm Susan, and I like tea.", "Susan"],
    ["I’m Jean-Luc Picard.", "Jean-Luc"],
  ])("%s tells the name %s", (said, name) => {
    expect(say(said)).toStartWith(`Nice to meet you, ${name}.`)
  })

  test.each([
    "Don't call me Bob.",
    "Please do not call me Bob.",
    "You can't call me Bob.",
    "Never call me Bob!",
    "Nobody may call me Bob.",
    "My name is not important.",
    "My name isn't Bob.",
    "I do not think that my name is Bob.",
    "My name is hard to spell.",
    "My name is on the list.",
    "Call me back later.",
    "Call me tomorrow.",
    "Call me a taxi.",
    "Call me when you are ready.",
    "I am tired.",
    "I am German.",
    "I am American.",
    "I'm OK.",
    "I am Here.",
    "I am Peter's brother.",
    `My name is ${".".repeat(32_768)}!`,
    `My name is ${".. ".repeat(10_000)}!`,
  ])("%s tells no name", (said) => {
    expect(say(said)).not.toContain("Nice to meet you")
    expect(say(said, "What is my name?")).toBe("You have not told me your name yet.")
  })

  test.each([
    ["Repeat after me: hello world", "Hello world."],
    ["Say hello world.", "Hello world."],
    ["Can you say good night?", "Good night."],
    ["Please repeat: “The cat sat.”", "The cat sat."],
    ["Could you please say thank you, please?", "Thank you."],
  ])("%s", (asked, answer) => {
    expect(say(asked)).toBe(answer)
  })

  test.each([
    "Say something.",
    "Can you help my brother with his homework?",
    "I like your name.",
    "It helps.",
  ])("%s has no rule", (said) => {
    expect(say(said)).toStartWith("I heard:")
  })

  test.each([
    "Thank you.",
    "Thanks!",
    "Okay, thank you very much.",
    "Thanks a lot, that is all.",
    "Many thanks",
  ])("%s", (said) => {
    expect(say(said)).toBe("You are welcome.")
  })

  test.each([
    "Goodbye.",
    "Bye!",
    "Bye bye",
    "Okay, good bye.",
    "See you later!",
    "Thanks, bye.",
    "Good night.",
  ])("%s", (said) => {
    expect(say(said)).toBe("Goodbye!")
  })

  test.each([
    "How do I get a better voice?",
    "Where can I find a better voice?",
    "Can I get another voice?",
    "How can I change your voice?",
  ])("%s", (said) => {
    expect(say(said)).toMatch(/^For a better voice, run voice-agent models pull --tts/)
  })

  test.each([
    "Thank the teacher for me.",
    "Should I write a thank you note?",
    "When did they say goodbye?",
    "Her voice got better.",
    "What does see you later mean?",
  ])("%s has no rule", (said) => {
    expect(say(said)).toStartWith("I heard:")
  })

  test.each(["Help!", "Can you help me, please?", "I need help."])("%s", (said) => {
    expect(say(said)).toContain("built-in talker")
  })

  test("a question tells no name", () => {
    expect(say("Do you know what my name is today?")).not.toContain("Nice to meet you")
    expect(say("My name is Ann.", "Why is my name is Bob wrong?", "What is my name?")).toBe(
      "Your name is Ann.",
    )
  })

  test.each([
    "What did I just say?",
    "Please repeat that.",
    "Can you repeat what I said?",
    "Will you remember what I said?",
  ])("knows what was said before, asked as %s", (asked) => {
    expect(say("I have a small brown dog.", asked)).toBe('You just said: "I have a small brown dog."')
  })

  test("repeats its own last answer", () => {
    expect(say("Who are you?", "Can you say that again?")).toMatch(/^I said: I am the built-in talker/)
  })

  test("reflects what it has no rule for, and says what would answer it", () => {
    const answer = say("The conference will begin when the leader arrives.")
    expect(answer).toContain('"The conference will begin when the leader arrives."')
    expect(answer).toContain("API key")
    expect(say(`I said ${"word ".repeat(500)}`).length).toBeLessThan(320)
  })
})
