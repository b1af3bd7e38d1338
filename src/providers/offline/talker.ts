import { toldName } from "./told-name.ts"

export interface Message {
  readonly role: string
  readonly content: string
}

/** What a rule sees of the conversation. */
interface Turn {
  /** As it was said. */
  readonly text: string
  /** Lower case, without punctuation, contractions written out, one space between words. */
  readonly words: string
  /** What the user said before this turn, oldest first. */
  readonly said: readonly string[]
  /** What was answered before this turn, oldest first. */
  readonly answered: readonly string[]
  readonly now: Date
}

type Rule = (turn: Turn) => string | undefined

const wordsOf = (text: string): string =>
  (
    text
      .toLowerCase()
      .replaceAll("’", "'")
      .replace(/\b(what|who|it|that)'s\b/g, "$1 is")
      .replace(/\bi'm\b/g, "i am")
      .match(/[\p{L}\p{N}'-]+/gu) ?? []
  ).join(" ")

const advice =
  "For real answers, start Ollama with a chat model, or set an API key, and restart this service."
const whatItIs = "I am the built-in talker of this voice agent: a few rules, and no language model."
const whatItCan = "I can remember your name, repeat what you said, and tell the time and the date."

const isQuestion = (words: string) =>
  /^(what|who|when|where|which|do|does|did|can|could|will|would|should|is|are|was|why|how) /.test(words)

const quoted = (text: string): string => text.trim().replaceAll('"', "'")

/** A rule for what matches the pattern. */
const when =
  (pattern: RegExp, answer: (turn: Turn) => string): Rule =>
  (turn) =>
    pattern.test(turn.words) ? answer(turn) : undefined

/** What is to be said, of "Repeat after me: hello world" and "Can you say hello?". */
const sayable =
  /^(?:(?:please|now|just|ok|okay|can you|could you|will you|would you)[\s,]+)*(?:repeat|say)(?:\s+after me|\s+the words?|\s+the following)*[\s:,-]+(.+)$/isu

/** "Say something" and "repeat that" name nothing to say. */
const unsaid = /^(?:it|that|this|something|anything|nothing|again|more|please|what|after me)\b/i

const toRepeat = (text: string): string | undefined => {
  const [, said = ""] = sayable.exec(text.trim()) ?? []
  const words = said
    .replace(/(?<![,\s])[,\s]+please[.!?\s]*$/i, "")
    .replace(/^["“”'‘’\s]+/, "")
    .replace(/(?<!["“”'‘’.!?\s])["“”'‘’.!?\s]+$/, "")
  return words === "" || unsaid.test(words) ? undefined : `${words.charAt(0).toUpperCase()}${words.slice(1)}.`
}

const rules: readonly Rule[] = [
  ({ text, words }) => {
    const name = isQuestion(words) ? undefined : toldName(text)
    return name === undefined
      ? undefined
      : `Nice to meet you, ${name}. I will remember your name in this conversation.`
  },
  when(/\b(what is my name|who am i|(know|remember|say|tell me) my name)\b/, ({ said }) => {
    const name = said
      .filter((text) => !isQuestion(wordsOf(text)))
      .map(toldName)
      .findLast((told) => told !== undefined)
    return name === undefined ? "You have not told me your name yet." : `Your name is ${name}.`
  }),
  when(/\b(what (did|have) you (just )?(say|said)|say (that|it) again|come again)\b/, ({ answered }) => {
    const last = answered.at(-1)
    return last === undefined ? "I have not said anything yet." : `I said: ${quoted(last)}`
  }),
  when(
    /\b(what (did|have) i (just )?(say|said)|(repeat|remember) (that|what i( just)? said)|what i (just )?said|my last (message|question))\b/,
    ({ said }) => {
      const last = said.at(-1)
      return last === undefined
        ? "You have not said anything before this."
        : `You just said: "${quoted(last)}"`
    },
  ),
  when(
    /\b(what time is it|what is the time|the time now|current time|tell me the time)\b/,
    ({ now }) =>
      `By the clock of this server it is ${now.toLocaleTimeString("en-US", { hour: "numeric", minute: "2-digit" })}.`,
  ),
  when(
    /\b(what (day|date) is (it|today)|what is (the date|today's date)|the date today|today's date|tell me the date)\b/,
    ({ now }) =>
      `Today is ${now.toLocaleDateString("en-US", { weekday: "long", year: "numeric", month: "long", day: "numeric" })}.`,
  ),
  ({ text }) => toRepeat(text),
  when(
    /\b((what is|tell me|know|say|have) your name|(who|what) are you|what can you do)\b|^((please|can you|could you|i need|i need some) )?help( me| us)?( please)?$/,
    () => `${whatItIs} ${whatItCan} ${advice}`,
  ),
  when(
    /^(hello|hi|hey|good (morning|afternoon|evening))( there)?$/,
    () => `Hello! ${whatItIs} Tell me your name, or ask me the time.`,
  ),
  when(
    /^((ok|okay|thanks|thank you|well|and) )*(good ?-?bye|bye( |-)?bye|bye|good night|see you( later| soon| tomorrow)?)( now)?$/,
    () => "Goodbye!",
  ),
  when(
    /^((ok|okay|great|good|well|no|yes) )*(thanks|thank you|many thanks)( (very|so) much| a lot| again)?( (that is|that was) (all|it|great))?$/,
    () => "You are welcome.",
  ),
  when(
    /^(how|where|can|could) .*\b((get|find|have|use) (a better|a nicer|another)|change (your|the)) voice$/,
    () =>
      "For a better voice, run voice-agent models pull --tts on the machine of this service, and restart it.",
  ),
]

/** The longest part of what was heard that is said back, in words. */
const reflectedWords = 20

const reflect = (text: string): string => {
  const words = text.trim().split(/\s+/)
  const heard =
    words.length > reflectedWords ? `${words.slice(0, reflectedWords).join(" ")} and more` : words.join(" ")
  return `I heard: "${quoted(heard)}" I am only the built-in talker, so I cannot say more about that. ${advice}`
}

/** The reply to the last user message of the context. The same messages and time always give the same reply. */
export const reply = (messages: readonly Message[], now: Date): string => {
  const at = messages.findLastIndex((message) => message.role === "user")
  const text = messages[at]?.content ?? ""
  const words = wordsOf(text)
  if (words === "") return "I did not hear any words."
  const before = (role: string) =>
    messages
      .slice(0, at)
      // A message of calls alone has no words.
      .filter((message) => message.role === role && message.content !== "")
      .map((message) => message.content)
  const turn: Turn = { text, words, said: before("user"), answered: before("assistant"), now }
  for (const rule of rules) {
    const answer = rule(turn)
    if (answer !== undefined) return answer
  }
  return reflect(text)
}
