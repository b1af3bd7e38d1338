import { expect, test } from "bun:test"
import { type Completeness, completenessOf } from "../../src/realtime/completeness.ts"

const cases = {
  complete: [
    "What is the weather?",
    "My name is Robert.",
    "At 8.",
    "Stop!",
    'He said "no."',
    "明日の天気は？",
    "我要订一张票。",
    "",
    "...",
    "Hello. My number is 12.",
    "Write to me at example.com.",
  ],
  incomplete: [
    "I want to go to",
    "I'd like a table for four, and",
    "Well...",
    "My address is,",
    "It is — ",
    "um",
    "Hello. I was wondering if",
    "Ich möchte, dass",
    "Je voudrais aller à Paris et",
    "Ask Dr.",
  ],
  unclear: ["what is the weather", "Hello. my name is robert", "今天天气怎么样", "twelve garden street"],
} satisfies Record<Completeness, ReadonlyArray<string>>

for (const [kind, texts] of Object.entries(cases)) {
  test(kind, () => {
    expect(texts.map((text) => `${text}: ${completenessOf(text)}`)).toEqual(
      texts.map((text) => `${text}: ${kind}`),
    )
  })
}
