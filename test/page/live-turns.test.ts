import { expect, test } from "bun:test"
import { makeLiveTurns } from "../../src/page/live-turns.ts"
import type { TurnTimes } from "../../src/page/waterfall-spans.ts"

/** What one turn of the list shows. */
interface Shown {
  said: string
  reply: string
  called: string
  isInterrupted: boolean
  times: TurnTimes | undefined
  play: (() => void) | undefined
}

const makePage = () => {
  const shown: Array<Shown> = []
  const timed: Array<number> = []
  const played: Array<Blob> = []
  const begin = () => {
    const turn: Shown = {
      said: "",
      reply: "",
      called: "",
      isInterrupted: false,
      times: undefined,
      play: undefined,
    }
    shown.push(turn)
    return {
      turn,
      waits: () => {},
      says: (said: string) => {
        turn.said = said
      },
      adds: (more: string) => {
        turn.reply += more
      },
      calls: ({ name }: { readonly name: string }) => {
        turn.called += name
      },
      interrupts: () => {
        turn.isInterrupted = true
      },
      completes: (times: Shown["times"], play: Shown["play"]) => void Object.assign(turn, { times, play }),
    }
  }
  const saved: Array<string> = []
  const turns = makeLiveTurns({
    list: {
      begin,
      remove: ({ turn }: { readonly turn: Shown }) => void shown.splice(shown.indexOf(turn), 1),
      timed: (ms) => void timed.push(ms),
    },
    onPlay: (sound) => void played.push(sound),
    onTurn: (transcript) => void saved.push(transcript),
  })
  /** The samples of what `Play again` plays. */
  const playAgain = async (turn: Shown | undefined) => {
    turn?.play?.()
    const bytes = await played.at(-1)?.arrayBuffer()
    return bytes === undefined ? [] : [...new Int16Array(bytes.slice(44))]
  }
  return { shown, timed, saved, turns, playAgain }
}

/** `ms` of audio whose samples all have one value. */
const tone = (ms: number, value: number) => new Int16Array(24 * ms).fill(value)
const lengths = (samples: ReadonlyArray<number>) =>
  [...Map.groupBy(samples, (each) => each)].map(([value, same]) => [value, same.length / 24])

test("a whole reply", async () => {
  const { shown, timed, saved, turns, playAgain } = makePage()
  turns.hears({ itemId: "u1" })
  turns.says("u1", "Hello?")
  turns.adds("r1", "Yes.")
  turns.sounds("r1", tone(10, 1))
  turns.sounds("r1", tone(20, 2))
  turns.ends("r1", true)
  expect(shown).toMatchObject([{ said: "Hello?", reply: "Yes.", isInterrupted: false }])
  expect(shown[0]?.times?.since).toBe("the speech")
  expect(lengths(await playAgain(shown[0]))).toEqual([
    [1, 10],
    [2, 20],
  ])
  expect(timed).toHaveLength(1)
  expect(saved).toEqual(["Hello?"])
})

test("an interruption after the reply was complete: all of it plays again", async () => {
  const { shown, turns, playAgain } = makePage()
  turns.hears({ itemId: "u1" })
  turns.says("u1", "Hello?")
  turns.sounds("r1", tone(100, 1))
  turns.ends("r1", true)
  turns.interrupts("r1", 40)
  turns.hears({ itemId: "u2" })
  turns.says("u2", "Stop.")
  turns.sounds("r2", tone(10, 2))
  turns.ends("r2", true)
  expect(shown.map(({ isInterrupted }) => isInterrupted)).toEqual([true, false])
  expect(lengths(await playAgain(shown[0]))).toEqual([[1, 100]])
  expect(lengths(await playAgain(shown[1]))).toEqual([[2, 10]])
})

test("a reply that continues after a noise: what was heard, then the rest", async () => {
  const { shown, timed, turns, playAgain } = makePage()
  turns.hears({ itemId: "u1" })
  turns.says("u1", "Hello?")
  turns.adds("r1", "One. Two.")
  turns.sounds("r1", tone(50, 1))
  turns.sounds("r1", tone(50, 2))
  turns.interrupts("r1", 70)
  turns.ends("r1", false)
  expect([shown[0]?.times, shown[0]?.play === undefined]).toEqual([undefined, false])
  turns.hears({ itemId: "u2" })
  turns.says("u2", "")
  turns.adds("r2", "Two.")
  turns.sounds("r2", tone(30, 3))
  turns.ends("r2", true)
  expect(shown).toHaveLength(1)
  expect(lengths(await playAgain(shown[0]))).toEqual([
    [1, 50],
    [2, 20],
    [3, 30],
  ])
  expect(shown[0]?.times).toBeDefined()
  expect(timed).toHaveLength(1)
})

test("two utterances in a row, one reply", () => {
  const { shown, turns } = makePage()
  turns.hears({ itemId: "u1" })
  turns.hears({ itemId: "u2" })
  turns.says("u1", "Hello.")
  turns.says("u2", "Can you hear me?")
  turns.adds("r1", "Yes.")
  turns.sounds("r1", tone(10, 1))
  turns.ends("r1", true)
  expect(shown.map(({ said, reply, times }) => [said, reply, times === undefined])).toEqual([
    ["Hello.", "", true],
    ["Can you hear me?", "Yes.", false],
  ])
})

test("a late part of an earlier reply does not take the next one", () => {
  const { shown, turns } = makePage()
  turns.hears({ itemId: "u1" })
  turns.says("u1", "Hello.")
  turns.adds("r1", "One")
  turns.hears({ itemId: "u2" })
  turns.says("u2", "Stop.")
  turns.adds("r1", " two.")
  turns.adds("r2", "Yes.")
  expect(shown.map(({ said, reply }) => [said, reply])).toEqual([
    ["Hello.", "One two."],
    ["Stop.", "Yes."],
  ])
})

test("a reply without a question, and one without audio, have no waterfall", () => {
  const { shown, timed, turns } = makePage()
  turns.adds("r1", "Are you there?")
  turns.sounds("r1", tone(10, 1))
  turns.ends("r1", true)
  turns.hears({ itemId: "u1" })
  turns.says("u1", "Yes.")
  turns.adds("r2", "👍")
  turns.ends("r2", true)
  expect(shown.map(({ times, play }) => [times, play === undefined])).toEqual([
    [undefined, false],
    [undefined, true],
  ])
  expect(timed).toEqual([])
})

test("a reply that calls a tool", () => {
  const { shown, turns } = makePage()
  const call = { callId: "call_1", name: "open_door", arguments: "{}" }
  turns.hears({ itemId: "u1" })
  turns.says("u1", "Open it.")
  turns.ends(undefined, true)
  turns.calls(call)
  expect(shown).toMatchObject([{ said: "Open it.", reply: "", called: "open_door" }])
  const { shown: unasked, turns: greeting } = makePage()
  greeting.calls(call)
  expect(unasked).toMatchObject([{ said: "", called: "open_door" }])
})
