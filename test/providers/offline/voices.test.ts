import { expect, test } from "bun:test"
import { languageOf, voiceOptions } from "../../../src/providers/offline/voices.ts"

test.each([
  ["Hello, how are you?", "en-us"],
  ["I went to a café with the naïve señor, and it was nice.", "en-us"],
  ["Hm.", "en-us"],
  ["Guten Tag, wie geht es Ihnen?", "de"],
  ["Je suis très content, et vous ?", "fr-fr"],
  ["¿Qué hora es?", "es"],
  ["Che ora è? Non sono di qui.", "it"],
  ["こんにちは、元気ですか。", "ja"],
  ["你好，今天天气很好。", "cmn"],
  ["안녕하세요", "ko"],
  ["Добрый день", "ru"],
  ["Привіт, як справи?", "uk"],
  ["مرحبا كيف حالك", "ar"],
  ["سلام، حال شما چطور است؟", "fa"],
  ["آپ کیسے ہیں؟ میں ٹھیک ہوں۔", "ur"],
  ["नमस्ते, आप कैसे हैं?", "hi"],
  ["Καλημέρα", "el"],
  ["ሰላም እንዴት ነህ?", "am"],
  ["နေကောင်းလား။", "my"],
  ["ଆପଣ କେମିତି ଅଛନ୍ତି?", "or"],
  ["ඔබට කොහොමද?", "si"],
])("%s is spoken as %s", (text, language) => {
  expect(languageOf(text)).toBe(language)
})

test("an unknown voice has the usual timbre", () => {
  expect(voiceOptions("de", "nobody")).toEqual(voiceOptions("de", "alloy"))
})
