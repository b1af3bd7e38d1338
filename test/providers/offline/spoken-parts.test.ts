import { describe, expect, test } from "bun:test"
import { fliteVoice, forFlite } from "../../../src/providers/offline/flite.ts"
import { spokenParts } from "../../../src/providers/offline/spoken-parts.ts"

const both = { flite: true, espeak: true }

test.each([
  ["It’s “fine” – really…", `It's "fine", really...`],
  ["A café, naïve and señor.", "A cafe, naive and senor."],
  ["It is 20°C, and costs €5 or £3.50.", "It is 20 degrees Celsius, and costs 5 euros or 3.50 pounds."],
  ["One\nline\0here.", "One line here."],
  ["x".repeat(200), "x".repeat(200)],
])("flite reads %j in ASCII", (text, plain) => {
  expect(forFlite(text)).toBe(plain)
})

test.each(["", " ", "...", "。", "The letter Ω.", "Straße", "😀 hi", "Привет"])(
  "flite cannot read %j",
  (text) => {
    expect(forFlite(text)).toBeUndefined()
  },
)

test.each([
  ["alloy", "slt"],
  ["nova", "slt"],
  ["nobody", "slt"],
  ["echo", "rms"],
  ["onyx", "rms"],
  ["ash", "rms"],
])("%s is flite's %s", (voice, name) => {
  expect<string>(fliteVoice(voice).name).toBe(name)
})

test("English goes to flite by the sentence", () => {
  expect(spokenParts("Hello, Dr. Smith. It is 3.14 today! Good.", both)).toEqual([
    { engine: "flite", text: "Hello, Dr. Smith." },
    { engine: "flite", text: "It is 3.14 today!" },
    { engine: "flite", text: "Good." },
  ])
})

test("another language goes to espeak-ng in one piece", () => {
  expect(spokenParts("Guten Tag. Ich bin nicht da. Gern geschehen.", both)).toEqual([
    { engine: "espeak-ng", text: "Guten Tag. Ich bin nicht da. Gern geschehen.", language: "de" },
  ])
})

test("a text in two languages has a voice for each", () => {
  const parts = spokenParts("In Japanese you say it so. こんにちは、元気ですか。 That is all of it.", both)
  expect(parts.map((part) => (part.engine === "flite" ? "flite" : part.language))).toEqual([
    "flite",
    "ja",
    "flite",
  ])
})

test("one foreign word changes no voice", () => {
  expect(spokenParts("We like pasta, of course. Two coins per person.", both)).toEqual([
    { engine: "flite", text: "We like pasta, of course." },
    { engine: "flite", text: "Two coins per person." },
  ])
})

test("without flite espeak-ng speaks English, and without both nothing does", () => {
  expect(spokenParts("Hello. It is me.", { flite: false, espeak: true })).toEqual([
    { engine: "espeak-ng", text: "Hello. It is me.", language: "en-us" },
  ])
  expect(spokenParts("Hello.", { flite: false, espeak: false })).toEqual([])
})

test("without espeak-ng flite speaks Latin letters, and no others", () => {
  const flite = { flite: true, espeak: false }
  expect(spokenParts("Guten Tag, wie geht es Ihnen?", flite)).toEqual([
    { engine: "flite", text: "Guten Tag, wie geht es Ihnen?" },
  ])
  expect(spokenParts("Добрый день.", flite)).toEqual([])
})

describe("a model", () => {
  const all = { ...both, languages: ["en", "de", "zh"] }

  test("gets the sentences of its languages, one by one", () => {
    expect(spokenParts("That is the one, Dr. Smith. It is good. Ich bin nicht das, und du?", all)).toEqual([
      { engine: "model", texts: ["That is the one, Dr. Smith.", "It is good."], language: "en" },
      { engine: "model", texts: ["Ich bin nicht das, und du?"], language: "de" },
    ])
    expect(spokenParts("你好，今天天气很好。", all)).toMatchObject([{ engine: "model", language: "zh" }])
  })

  test("gets a long sentence in parts", () => {
    const [part] = spokenParts("word ".repeat(500), all)
    if (part?.engine !== "model") throw new Error("not for the model")
    expect(part.texts.length).toBeWithin(12, 30)
    expect(part.texts.every((text) => text.length <= 200)).toBe(true)
    expect(part.texts.join(" ").split(" ")).toHaveLength(500)
  })

  test.each(["…", "😀", "\u0000", "Добрый день.", "*"])("does not get %j", (text) => {
    expect(spokenParts(text, all).map(({ engine }) => engine)).not.toContain("model")
  })

  test("takes a text for the usual language, unless it clearly is of another", () => {
    const finnish = { ...both, languages: ["fi", "en"], usual: "fi" }
    expect(spokenParts("Hyvää huomenta, mitä kuuluu?", finnish)).toMatchObject([{ language: "fi" }])
    expect(spokenParts("This is the answer to that.", finnish)).toMatchObject([{ language: "en" }])
    for (const usual of ["en", "de", "fr", "zh"]) {
      expect(spokenParts("This is the answer to that.", { ...all, usual })).toMatchObject([
        { language: "en" },
      ])
      expect(spokenParts("Das ist nicht die Antwort.", { ...all, usual })).toMatchObject([{ language: "de" }])
    }
    expect(spokenParts("Hello there.", { ...all, usual: "de" })).toMatchObject([{ language: "de" }])
  })
})
