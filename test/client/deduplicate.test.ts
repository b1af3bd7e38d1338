import { describe, expect, test } from "bun:test"
import { FastCheck as fc } from "effect"
import { exactlyOnce } from "../../src/client/deduplicate.ts"

/** Records what a listener receives. */
const makeRecorder = () => {
  const heard = { text: "", audio: [] as number[], transcripts: [] as string[], starts: [] as boolean[] }
  const delivery = exactlyOnce({
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

/** The ranges of pieces of at most `size`, up to `to`. */
const pieces = (length: number, size: number, to: number) =>
  Array.from({ length: Math.ceil(length / size) }, (_, at) => [at * size, (at + 1) * size] as const)
    .filter(([from]) => from < to)
    .map(([from, end]) => [from, Math.min(end, to)] as const)

describe("exactlyOnce", () => {
  test("delivers every character and byte once, with any number of breaks", () => {
    const tried = fc.record({
      size: fc.integer({ min: 1, max: 250 }),
      textTo: fc.nat(reply.length),
      audioTo: fc.nat(speech.length),
    })
    fc.assert(
      fc.property(fc.array(tried, { maxLength: 4 }), fc.integer({ min: 1, max: 250 }), (broken, size) => {
        const { delivery, heard } = makeRecorder()
        for (const each of [...broken, { size, textTo: reply.length, audioTo: speech.length }]) {
          delivery.started({ sessionId: "session", turnId: "turn" })
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

  test("counts each audio format separately", () => {
    const { delivery, heard } = makeRecorder()
    delivery.started({ sessionId: "session", turnId: "turn" })
    delivery.audio(Uint8Array.of(1, 2), "mp3")
    delivery.started({ sessionId: "session", turnId: "turn" })
    delivery.audio(Uint8Array.of(9, 8, 7), "pcm")
    expect(heard.audio).toEqual([1, 2, 9, 8, 7])
  })

  test("starts over when the service restarts the turn", () => {
    const { delivery, heard } = makeRecorder()
    delivery.started({ sessionId: "session", turnId: "turn 1" })
    delivery.transcript("Hello?")
    delivery.text("Yes, I")
    delivery.started({ sessionId: "session", turnId: "turn 2" })
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
