import { describe, expect, test } from "bun:test"
import type { Completeness } from "../../src/realtime/completeness.ts"
import { type SpeechEvent, silentAt, step } from "../../src/realtime/endpointing.ts"
import type { TurnDetection } from "../../src/realtime/turn-detection.ts"
import { serverVad } from "../support/listener.ts"

/** The events of a stream; the settings and the transcript may depend on the frame. */
const run = (
  probabilities: ReadonlyArray<number>,
  config: TurnDetection | ((frame: number) => TurnDetection) = serverVad,
  completeness: Completeness | undefined = undefined,
) => {
  let state = silentAt(0)
  const all: Array<SpeechEvent> = []
  probabilities.forEach((probability, frame) => {
    const settings = typeof config === "function" ? config(frame) : config
    const [next, events] = step(state, probability, settings, { completeness })
    state = next
    all.push(...events)
  })
  return { events: all, state, tags: all.map(({ _tag }) => _tag) }
}

const of = (frames: number, probability: number) => Array.from({ length: frames }, () => probability)
const yes = (frames: number) => of(frames, 0.9)
const no = (frames: number) => of(frames, 0.05)

describe("server_vad", () => {
  test("speech", () => {
    expect(run([...no(20), ...yes(20), ...no(16)]).events).toEqual([
      { _tag: "SpeechStarted", startMs: 640 - 300 },
      { _tag: "Paused", atMs: 1280 + 192 },
      { _tag: "SpeechStopped", endMs: 1280 + 512 },
    ])
  })

  test("a click is none, nor are frames far apart", () => {
    expect(run([...yes(2), ...no(20), ...yes(1), ...no(9)]).events).toEqual([])
    expect(run(Array.from({ length: 300 }, (_, at) => (at % 6 === 0 ? 0.6 : 0.4))).events).toEqual([])
    expect(run([...yes(1), ...no(1), ...yes(1), ...no(1), ...yes(2)]).events).toEqual([])
  })

  test("the padding does not begin before the audio", () => {
    expect(run(yes(3)).events).toEqual([{ _tag: "SpeechStarted", startMs: 0 }])
  })

  test("a pause is resumed by two frames, not by one", () => {
    const { events } = run([...yes(10), ...no(8), ...yes(1), ...no(2), ...yes(2)])
    expect(events.slice(1)).toEqual([
      { _tag: "Paused", atMs: 320 + 192 },
      { _tag: "Resumed", atMs: 21 * 32 },
    ])
    expect(run([...yes(10), ...no(8), ...yes(1), ...no(7)]).tags.at(-1)).toBe("SpeechStopped")
  })

  test("speech goes on until the probability is well below the threshold", () => {
    expect(run([...yes(10), ...of(50, 0.4)]).tags).toEqual(["SpeechStarted"])
    expect(run([...yes(10), ...of(50, 0.3)]).tags.at(-1)).toBe("SpeechStopped")
  })

  test("settings hold from the next frame on", () => {
    const at = (frame: number): TurnDetection => ({
      ...serverVad,
      silence_duration_ms: frame < 20 ? 500 : 200,
    })
    expect(run([...yes(10), ...no(11)], at).events.at(-1)).toEqual({ _tag: "SpeechStopped", endMs: 21 * 32 })
  })

  test("a longer and a shorter silence, a higher threshold, no padding", () => {
    const stop = (silence_duration_ms: number) =>
      run([...yes(10), ...no(100)], { ...serverVad, silence_duration_ms }).events.at(-1)
    expect(stop(2000)).toEqual({ _tag: "SpeechStopped", endMs: 320 + 2016 })
    expect(stop(0)).toEqual({ _tag: "SpeechStopped", endMs: 320 + 32 })
    expect(run(yes(20), { ...serverVad, threshold: 0.95 }).events).toEqual([])
    expect(run([...no(9), ...yes(3)], { ...serverVad, prefix_padding_ms: 0 }).events).toEqual([
      { _tag: "SpeechStarted", startMs: 9 * 32 },
    ])
  })
})

describe("semantic_vad", () => {
  const waits = (eagerness: "low" | "medium" | "high" | "auto") =>
    ([undefined, "incomplete", "unclear", "complete"] as const).map((completeness) => {
      const { events } = run([...yes(10), ...no(400)], { type: "semantic_vad", eagerness }, completeness)
      const last = events.at(-1)
      return last?._tag === "SpeechStopped" ? last.endMs - 320 : undefined
    })

  test("waits by its eagerness, and less after a sentence", () => {
    expect(waits("low")).toEqual([8000, 8000, 4000, 1024])
    expect(waits("medium")).toEqual([4000, 4000, 2016, 512])
    expect(waits("auto")).toEqual(waits("medium"))
    expect(waits("high")).toEqual([2016, 2016, 1024, 256])
  })
})

/** Numbers from 0 to 1, the same for the same seed (Lehmer's generator). */
const randomOf = (seed: number) => {
  let state = seed * 7919 + 1
  return () => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
}

describe("any audio, any settings", () => {
  for (let seed = 1; seed <= 20; seed++) {
    test(`seed ${seed}`, () => {
      const random = randomOf(seed)
      const pick = <A>(...values: readonly [A, ...ReadonlyArray<A>]) =>
        values[Math.floor(random() * values.length)] ?? values[0]
      const settings = (): TurnDetection =>
        pick<TurnDetection>(
          {
            type: "server_vad",
            threshold: random(),
            prefix_padding_ms: Math.floor(random() * 1000),
            silence_duration_ms: Math.floor(random() * 1500),
          },
          { type: "semantic_vad", eagerness: pick("low", "medium", "high", "auto") },
        )
      let config = settings()
      let state = silentAt(0)
      let isSpeaking = false
      let isPaused = false
      let lastMs = 0
      for (let frame = 0, level = 0; frame < 1000; frame++) {
        if (random() < 0.02) level = random()
        if (random() < 0.005) config = settings()
        const probability = Math.min(1, Math.max(0, level + (random() - 0.5) * 0.4))
        const facts = {
          completeness: pick<Completeness | undefined>(undefined, "complete", "unclear", "incomplete"),
        }
        const [next, events] = step(state, probability, config, facts)
        state = next
        expect(state.atMs).toBe((frame + 1) * 32)
        for (const event of events) {
          // Speech starts and stops in turn; a pause is within it, and its end within the pause.
          expect(isSpeaking).toBe(event._tag !== "SpeechStarted")
          if (event._tag === "Paused" || event._tag === "Resumed")
            expect(isPaused).toBe(event._tag === "Resumed")
          if (event._tag === "SpeechStarted") {
            expect(event.startMs).toBeGreaterThanOrEqual(0)
            expect(event.startMs).toBeLessThan(state.atMs)
          }
          if (event._tag === "SpeechStopped") {
            expect(event.endMs).toBeGreaterThan(lastMs)
            lastMs = event.endMs
          }
          isPaused = event._tag === "Paused"
          if (event._tag === "SpeechStarted" || event._tag === "SpeechStopped") isSpeaking = !isSpeaking
        }
        expect(state.isSpeaking).toBe(isSpeaking)
      }
    })
  }
})
