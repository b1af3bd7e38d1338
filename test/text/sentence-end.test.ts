import { describe, expect, test } from "bun:test"
import { initialState, push } from "../../src/text/segmenter.ts"
import { judge, nextCandidate, sentencesOf as sentencesOfText } from "../../src/text/sentence-end.ts"

/** The sentences of a reply that arrives in these tokens. */
const sentencesOf = (tokens: ReadonlyArray<string>): ReadonlyArray<string> => {
  const text = tokens.join("")
  const ends = new Set([text.length])
  let state = initialState
  let written = 0
  for (const token of tokens) {
    state = push(state, token)[0]
    written += token.length
    ends.add(written - state.tail.length)
  }
  const cuts = [0, ...[...ends].sort((a, b) => a - b)]
  return cuts.slice(1).flatMap((end, i) => text.slice(cuts[i], end) || [])
}

const letters = (text: string): ReadonlyArray<string> => [...text]
/** Tokens of hosted models: a word with the space before it, and ".com" or ".ts" as one. */
const words = (text: string): ReadonlyArray<string> => text.match(/\s?[^\s.]+|\.[^\s.]*|\s/g) ?? []

/** "|" marks where a sentence ends, and nowhere else may one end. */
const table = (
  name: string,
  tokens: (text: string) => ReadonlyArray<string>,
  cases: ReadonlyArray<string>,
): void =>
  describe(name, () => {
    for (const marked of cases) {
      const sentences = marked.split("|").filter((sentence) => sentence !== "")
      test(marked.replaceAll("\n", "\\n"), () =>
        expect(sentencesOf(tokens(sentences.join("")))).toEqual(sentences),
      )
    }
  })

table("a sentence ends at its mark at once", letters, [
  "Hello there.| How are you?| I am fine!| Good",
  "Hmm…| Well",
  "We like Java.| It is good.",
  "It is 5 pm.| Come in.",
  "It rose by 5%.| Good.",
  "It is 20°C.| Nice.",
  "I said yes!| and left.",
  "I don't.| You won't.|",
  "¿Qué tal?| ¡Muy bien!| Gracias.",
  "Line one\n|Line two\n|\n|Line three",
  // The second mark arrives too late for the first sentence. It is not spoken.
  "Wait, what?|! No way.",
])

table("a stop after a number waits", letters, [
  "Pi is 3.14 and e is 2.718.| Next",
  "It costs 3.| Then we go.",
  "In 2024.| People came.",
  "Version 1.2.3 is out.| Get it.",
  "Das war 1.000.000 Euro wert.| Viel Geld.",
  "Am 3. Oktober ist frei.| Gut.",
  "Im 19. Jahrhundert war es so.| Gut.",
  "Den 3. oktober er det fri.| Godt.",
  "The answer is 42.| Maybe not.",
  "Room 12.\n|Door",
])

table("a list number is not an end, its line is", letters, [
  "1. Mix the flour.| 2",
  "1. Mix\n|2. Bake\n|3. Eat\n|",
  "Steps:\n|  1. Mix\n|  10. Bake\n|",
  "> 1. Quoted\n|",
  "- first thing\n|- second thing\n|",
])

table("abbreviations are not ends", letters, [
  "Dr. Smith and Mrs. Jones met Prof. Lee.| Good.",
  "Use e.g. apples, i.e. fruit.| Yes.",
  "The U.S. Army and J. R. R. Tolkien met.| Yes.",
  "See No. 5 and Fig. 3 on p. 12.| Yes.",
  "No.| I will not.",
  "Apples, pears, etc. are fruit.| Yes.",
  "Apples, pears, etc.| Then we left.",
  "We meet at 5 p.m. on Jan. 5, here.| Be there.",
  "We meet at 5 p.m.| Be there.",
  "Cats vs. dogs.| Yes.",
  "Acme Inc. is big.| Yes.",
  "He has a Ph.D. in physics.| Yes.",
  "So do I.| Then we left.",
  "(Dr. Who.|) Yes.",
  "Das ist z. B. gut, d.h. so usw. und so.| Ja.",
  "La Sra. García y el Sr. López.| Sí.",
  "M. Dupont habite à Paris.| Oui.",
  "В 2020 г. было т. е. так.| Да.",
  "To jest np. dobre, m.in. tak.| Tak.",
])

table("addresses and file names are not cut", words, [
  "Visit example.com/a.b today.| Yes.",
  "Visit https://example.com/a?b=c&d=e.f now.| Yes.",
  "Mail me@example.com.| Yes.",
  "Edit src/main.ts and config.yaml.| Yes.",
  "Use Node.js or .NET there.| Yes.",
])

table("every script's end marks", letters, [
  "你好。|你是谁？|我很好！|再见",
  "圆周率是3.14。|对。|",
  "こんにちは。|お元気ですか？|はい！|",
  "안녕하세요.| 반갑습니다.| 네.| 좋아요.",
  "नमस्ते।| आप कैसे हैं?| ठीक।|",
  "مرحبا.| كيف حالك؟| جيد!|",
  "یہ ایک جملہ ہے۔| دوسرا۔|",
  "Բարև։| Ինչպես ես։|",
  "ሰላም።| እንዴት ነህ፧|",
  "Γεια σου.| Τι κάνεις\u037E|",
  "Привет.| Как дела?| Хорошо!|",
  "မင်္ဂလာပါ။| ကောင်းပါတယ်။|",
])

/** The sentences of a complete text. */
const sentencesWhole = (text: string): ReadonlyArray<string> => {
  const sentences: Array<string> = []
  let rest = text
  let from = 0
  for (;;) {
    const mark = nextCandidate(rest, from)
    if (mark === null) return rest === "" ? sentences : [...sentences, rest]
    const { verdict, end } = judge(rest, mark.index, true)
    if (verdict === "wait") return [...sentences, rest]
    from = verdict === "end" ? 0 : end
    if (verdict === "end") {
      sentences.push(rest.slice(0, end))
      rest = rest.slice(end)
    }
  }
}

describe("the text after the mark counts if it is known", () => {
  const cases = [
    '"Hello."| She left.',
    '"Really?" she asked.',
    "(Is it?) and so on.",
    "(It is.)| And so on.",
    "**Note.**| Read it.",
    "Well... maybe not.",
    "Well...| Maybe not.",
    "...and so it was.",
    "Stop!!!| Now.",
    "Wait, what?!| No way.",
    "「はい。」|彼は言った。",
    "他说：“好。”|然后走了。",
    "他走了。|“好”，我说。",
    "Yahoo!Finance is one.",
    "Is it (a, b, etc.), or not?",
    "„Ja.“| Gut.",
    "« Oui.| » Bien.",
    "你好!|我是谁?",
    "Visit example.com.| Yes.",
    "Really?, he said.",
  ]
  for (const marked of cases) {
    test(marked, () => expect(sentencesWhole(marked.replaceAll("|", ""))).toEqual(marked.split("|")))
  }
})

test("a text is cut alike after another text was searched to its middle", () => {
  const text = "One. Two. Three."
  const sentences = ["One.", "Two.", "Three."]
  expect(sentencesOfText(text)).toEqual(sentences)
  push(initialState, "A sentence. And another that is longer. ")
  expect(sentencesOfText(text)).toEqual(sentences)
})
