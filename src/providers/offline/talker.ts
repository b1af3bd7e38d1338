import { answerSum } from "./arithmetic.ts"

export interface Message {
  readonly role: string
  readonly content: string
}

/** What a rule sees of the conversation. */
interface Turn {
  readonly text: string
  /** Lower case, without punctuation, contractions written out. */
  readonly words: readonly string[]
  /** What the user said before this turn, oldest first. */
  readonly said: readonly string[]
  /** What was answered before this turn, oldest first. */
  readonly answered: readonly string[]
  readonly now: Date
}

type Rule = (turn: Turn) => string | undefined

const wordsOf = (text: string): readonly string[] =>
  text
    .toLowerCase()
    .replaceAll("’", "'")
    .replace(/\b(what|who|where|how|it|that)'s\b/g, "$1 is")
    .replace(/\bi'm\b/g, "i am")
    .match(/[\p{L}\p{N}']+/gu) ?? []

/** Letters to change, add or drop to make one word of the other. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(
        Math.min(
          (row[j] ?? 0) + 1,
          (next[j - 1] ?? 0) + 1,
          (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1),
        ),
      )
    }
    row = next
  }
  return row[b.length] ?? 0
}

/** The recogniser writes "see" for "say" and "jokes" for "joke": longer words may differ by more letters. */
const alike = (heard: string, meant: string): boolean =>
  heard === meant || (meant.length >= 4 && distance(heard, meant) <= (meant.length >= 7 ? 2 : 1))

/** How many words of the phrase were heard, in its order. */
const heardOf = (words: readonly string[], phrase: readonly string[]): number => {
  let row = new Array<number>(phrase.length + 1).fill(0)
  for (const word of words) {
    const next = [0]
    for (const [index, meant] of phrase.entries()) {
      next.push(alike(word, meant) ? (row[index] ?? 0) + 1 : Math.max(row[index + 1] ?? 0, next[index] ?? 0))
    }
    row = next
  }
  return row[phrase.length] ?? 0
}

/**
 * Whether one of the phrases was meant: a short one has to be heard whole, of four words and more one may be
 * missing or wrong. `within` is the most words that may have been said in all.
 */
const meant = (words: readonly string[], phrases: readonly string[], within = 14): boolean =>
  words.length <= within &&
  phrases.some((phrase) => {
    const wanted = phrase.split(" ")
    return heardOf(words, wanted) >= (wanted.length >= 4 ? wanted.length - 1 : wanted.length)
  })

const nameIn = (text: string): string | undefined => {
  const words = wordsOf(text)
  if (words[0] === "what" || words[0] === "do") return undefined
  for (const [at, word] of words.entries()) {
    const told =
      (word === "my" && alike(words[at + 1] ?? "", "name") && words[at + 2] === "is" && words[at + 3]) ||
      (word === "call" && words[at + 1] === "me" && words[at + 2])
    if (told) return told.charAt(0).toUpperCase() + told.slice(1)
  }
  return undefined
}

const jokes = [
  "Why did the microphone blush? It overheard everything.",
  "I asked the clock for a joke. It said it had no time.",
  "My favourite exercise is a long pause.",
  "Why was the sound wave so calm? It had learned to let things pass.",
]

const quoted = (text: string): string => text.trim().replaceAll('"', "'")

const rules: readonly Rule[] = [
  ({ text }) => {
    const name = nameIn(text)
    return name === undefined
      ? undefined
      : `Nice to meet you, ${name}. I will remember your name in this conversation.`
  },
  ({ words, said }) => {
    if (
      !meant(words, ["what is my name", "who am i", "remember my name", "know my name"], 10) ||
      !words.some((word) => word === "my" || word === "am")
    )
      return undefined
    const name = said.map(nameIn).findLast((told) => told !== undefined)
    return name === undefined ? "You have not told me your name yet." : `Your name is ${name}.`
  },
  ({ words }) =>
    meant(words, ["your name", "who are you", "what are you"], 8)
      ? "I am the offline talker of this voice agent: a few rules, and no language model."
      : undefined,
  ({ words, answered }) => {
    if (
      !meant(
        words,
        ["what did you say", "what did you just say", "say that again", "come again", "pardon me"],
        8,
      ) ||
      !words.some((word) => word === "you" || word === "again" || word === "pardon")
    )
      return undefined
    const last = answered.at(-1)
    return last === undefined ? "I have not said anything yet." : `I said: ${quoted(last)}`
  },
  ({ words, said }) => {
    if (
      !meant(words, [
        "what did i just say",
        "what did i say",
        "what have i said",
        "what i just said",
        "what i said",
        "repeat that",
        "repeat what i said",
        "remember what i said",
        "my last message",
        "my last question",
        "talking about before",
      ])
    )
      return undefined
    const last = said.at(-1)
    return last === undefined ? "You have not said anything before this." : `You just said: "${quoted(last)}"`
  },
  ({ text }) => answerSum(text),
  ({ words, now }) =>
    meant(
      words,
      ["what time is it", "what is the time", "the time now", "current time", "tell me the time"],
      10,
    ) && words.some((word) => alike(word, "time"))
      ? `By the clock of this server it is ${now.toLocaleTimeString("en-US", { hour: "numeric", minute: "2-digit" })}.`
      : undefined,
  ({ words, now }) =>
    meant(
      words,
      ["what day is it", "what day is today", "what is the date", "today's date", "what date"],
      10,
    ) && words.some((word) => /^(day|date|today|today's)$/.test(word))
      ? `Today is ${now.toLocaleDateString("en-US", { weekday: "long", year: "numeric", month: "long", day: "numeric" })}.`
      : undefined,
  ({ words, answered }) =>
    meant(words, ["joke", "make me laugh", "something funny"])
      ? jokes[answered.length % jokes.length]
      : undefined,
  ({ words }) =>
    meant(words, ["how are you", "how do you do", "how is it going"], 8) && words.includes("how")
      ? "I am well, thank you, and fully offline. How are you?"
      : undefined,
  ({ words }) =>
    meant(words, ["help", "what can you do", "what do you know"], 8)
      ? "I can remember your name, repeat what you said, tell the time and the date, do sums, and tell a joke. With an OPENAI_API_KEY this server gives real answers."
      : undefined,
  ({ words }) => (meant(words, ["thanks", "thank you"], 8) ? "You are welcome." : undefined),
  ({ words }) =>
    meant(words, ["goodbye", "good bye", "bye", "see you later", "good night"], 6)
      ? "Goodbye. It was nice talking with you."
      : undefined,
  ({ words }) =>
    meant(words, ["hello", "hi", "hey", "good morning", "good evening", "good afternoon"], 6)
      ? "Hello! I am the offline talker. Ask me the time, a sum or a joke, or tell me your name."
      : undefined,
]

/** The longest part of what was heard that is said back, in words. */
const reflectedWords = 20

const fallback = ({ text }: Turn): string => {
  const words = text.trim().split(/\s+/)
  const heard =
    words.length > reflectedWords ? `${words.slice(0, reflectedWords).join(" ")} and more` : words.join(" ")
  return `I heard: "${quoted(heard)}" I am only the offline talker, so I cannot say more about that. Set OPENAI_API_KEY for real answers.`
}

/** The reply to the last user message of the context. The same messages and time always give the same reply. */
export const reply = (messages: readonly Message[], now: Date): string => {
  const at = messages.findLastIndex((message) => message.role === "user")
  const text = messages[at]?.content ?? ""
  const words = wordsOf(text)
  if (words.length === 0) return "I did not hear any words."
  const before = (role: string) =>
    messages
      .slice(0, at)
      .filter((message) => message.role === role)
      .map((message) => message.content)
  const turn: Turn = { text, words, said: before("user"), answered: before("assistant"), now }
  for (const rule of rules) {
    const answer = rule(turn)
    if (answer !== undefined) return answer
  }
  return fallback(turn)
}
