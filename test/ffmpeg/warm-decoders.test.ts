import { expect, test } from "bun:test"
import { Effect, Either, Logger, LogLevel, Option } from "effect"
import type { Demuxer } from "../../src/audio/sniff.ts"
import { makeWarmDecoders } from "../../src/ffmpeg/warm-decoders.ts"

/** Decoders that exit a moment after they are killed, as processes do. */
const fakes = () => {
  const alive = new Set<symbol>()
  let startsFail = false
  const start = (demuxer: Demuxer) => {
    if (startsFail) throw new Error("no process to be had")
    const self = Symbol(demuxer)
    alive.add(self)
    return {
      isAlive: () => alive.has(self),
      decode: () => Promise.resolve(Either.right(new Uint8Array())),
      kill: () => Bun.sleep(Math.random() * 3).then(() => void alive.delete(self)),
    }
  }
  return {
    start,
    alive,
    fail: (yes: boolean) => {
      startsFail = yes
    },
  }
}

const demuxers = ["wav", "mp3", "matroska", "ogg", "flac", "mov"] as const

test.each([0, 1, 2])("at most %d wait, none is dead, none outlives the scope", (most) => {
  const { start, alive } = fakes()
  const walk = Effect.gen(function* () {
    const warm = yield* makeWarmDecoders(most, start)
    for (let step = 0; step < 300; step++) {
      const demuxer = demuxers[Math.floor(Math.random() * demuxers.length)] ?? "wav"
      const one = warm.take(demuxer)
      if (Option.isSome(one)) {
        expect(one.value.isAlive()).toBe(true)
        yield* Effect.promise(one.value.kill)
      }
      if (step % 7 === 0) for (const one of [...alive].slice(0, 1)) alive.delete(one)
      if (step % 3 > 0) yield* warm.keep(demuxer)
      if (step % 2 === 0) yield* Effect.promise(() => Bun.sleep(Math.random()))
      expect(alive.size).toBeLessThanOrEqual(most)
    }
    return warm
  })
  return Effect.runPromise(
    Effect.gen(function* () {
      const warm = yield* Effect.scoped(walk)
      expect(alive.size).toBe(0)
      yield* warm.keep("ogg")
      yield* Effect.promise(() => Bun.sleep(5))
      expect(alive.size).toBe(0)
    }),
  )
})

test("a failed start leaves no decoder", () =>
  Effect.runPromise(
    Effect.gen(function* () {
      const { start, fail } = fakes()
      const warm = yield* makeWarmDecoders(2, start)
      const kept = Effect.zipRight(
        warm.keep("ogg"),
        Effect.promise(() => Bun.sleep(5)),
      )
      fail(true)
      yield* kept
      expect(warm.take("ogg")).toEqual(Option.none())
      fail(false)
      yield* kept
      expect(Option.isSome(warm.take("ogg"))).toBe(true)
    }).pipe(Effect.scoped, Logger.withMinimumLogLevel(LogLevel.None)),
  ))
