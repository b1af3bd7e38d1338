import { describe, expect, test } from "bun:test"
import { FastCheck as fc } from "effect"
import { makeDelivery } from "../../src/client/deduplicate.ts"

/** Hears a turn, and keeps it. */
const makeEar = () => {
  const heard = { text: "", audio: [] as number[], transcripts: [] as string[], starts: [] as boolean[] }
  const delivery = makeDelivery({
    onStarted: ({ isRestart }) => heard.starts.push(isRestart),
    onTranscript: (text) => heard.transcripts.push(text),
    onText: (text) => {
      expect(text).not.toBe("")
      heard.text += text
    },
    onAudio: (bytes) => {
      expect(bytes.length).toBeGreaterThan(0)
      heard.audio.push(...bytes)
    },
  })
  return { delivery, heard }
}

const reply = "Yes, I can hear you 😀. Ja, höre ich."
const speech = Uint8Array.from({ length: 200 }, (_, at) => at)

/** Pieces of at most `size`, up to `to`. */
const pieces = (length: number, size: number, to: number) =>
  Array.from({ length: Math.ceil(length / size) }, (_, at) => [at * size, (at + 1) * size] as const)
    .filter(([from]) => from < to)
    .map(([from, end]) => [from, Math.min(end, to)] as const)

describe("the delivery of a turn", () => {
  test("hands every character and byte over once, however often and wherever it breaks", () => {
    const tried = fc.record({
      size: fc.integer({ min: 1, max: 250 }),
      textTo: fc.nat(reply.length),
      audioTo: fc.nat(speech.length),
    })
    fc.assert(
      fc.property(fc.array(tried, { maxLength: 4 }), fc.integer({ min: 1, max: 250 }), (broken, size) => {
        const { delivery, heard } = makeEar()
        for (const each of [...broken, { size, textTo: reply.length, audioTo: speech.length }]) {
          delivery.started("session", "turn")
          delivery.transcript("Hello?")
          for (const [from, to] of pieces(reply.length, each.size, each.textTo))
            delivery.text(reply.slice(from, to))
          for (const [from, to] of pieces(speech.length, each.size, each.audioTo)) {
            delivery.audio(speech.slice(from, to), "mp3")
          }
        }
        expect(heard).toEqual({ text: reply, audio: [...speech], transcripts: ["Hello?"], starts: [false] })
      }),
    )
  })

  test("counts each audio format for itself", () => {
    const { delivery, heard } = makeEar()
    delivery.started("session", "turn")
    delivery.audio(Uint8Array.of(1, 2), "mp3")
    delivery.started("session", "turn")
    delivery.audio(Uint8Array.of(9, 8, 7), "pcm")
    expect(heard.audio).toEqual([1, 2, 9, 8, 7])
  })

  test("begins from nothing where the service took the turn anew", () => {
    const { delivery, heard } = makeEar()
    delivery.started("session", "turn 1")
    delivery.transcript("Hello?")
    delivery.text("Yes, I")
    delivery.started("session", "turn 2")
    delivery.transcript("Hello.")
    delivery.text("No.")
    expect(heard).toEqual({
      text: "Yes, INo.",
      audio: [],
      transcripts: ["Hello?", "Hello."],
      starts: [false, true],
    })
  })
})
