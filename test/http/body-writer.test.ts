import { expect } from "bun:test"
import { Chunk, Duration, Effect, Exit, Fiber } from "effect"
import { makeBodyWriter } from "../../src/http/body-writer.ts"
import type { Take } from "../../src/turn/take.ts"
import { effectTest } from "../support/effect.ts"

/** Until all promises and fibers wait. */
const settle = Effect.promise(async () => {
  for (let n = 0; n < 20; n++) await new Promise((resolve) => setImmediate(resolve))
})

const byte = (n: number) => new Uint8Array([n])

/** A body of so many bytes, one a batch, with what has been taken of it. `last`: its end or its failure. */
const bodyOf = (length: number, last: Take<Uint8Array, string>) => {
  let taken = 0
  const body = Effect.suspend(() => {
    if (taken === length) return last
    taken += 1
    return Effect.succeed([Chunk.of(byte(taken)), false] as const)
  })
  return { body, taken: () => taken }
}

const done: Take<Uint8Array, never> = Effect.succeed([Chunk.empty(), true])

const failureOf = (reader: { readonly read: () => Promise<unknown> }) =>
  Effect.promise(() =>
    reader.read().then(
      () => "no failure",
      (error) => `${error}`,
    ),
  )

/** The client's, which no scope of the test ends. */
const newAbort = () => new AbortController()

/** Writes a body in a fiber of its own, as a response does. */
const writing = Effect.fnUntraced(function* (body: Take<Uint8Array, string>, timeout = Duration.minutes(1)) {
  const abort = newAbort()
  let hangUps = 0
  const made = Promise.withResolvers<ReadableStream<Uint8Array>>()
  const fiber = yield* Effect.fork(
    Effect.gen(function* () {
      const hangUp = () => {
        hangUps += 1
      }
      const writer = yield* makeBodyWriter({ signal: abort.signal, timeout, hangUp })
      made.resolve(writer.readable)
      const exit = yield* Effect.exit(Effect.interruptible(writer.write(body)))
      writer.end(exit)
      return yield* exit
    }).pipe(Effect.uninterruptible),
  )
  const readable = yield* Effect.promise(() => made.promise)
  return { fiber, readable, reader: readable.getReader(), abort, hangUps: () => hangUps }
})

effectTest(
  "writes one batch ahead of the client, and ends after the last is taken",
  Effect.gen(function* () {
    const { body, taken } = bodyOf(3, done)
    const { fiber, reader } = yield* writing(body)
    for (let n = 1; n <= 3; n++) {
      yield* settle
      expect(taken()).toBe(n)
      const { value } = yield* Effect.promise(() => reader.read())
      expect([...(value ?? [])]).toEqual([n])
    }
    expect((yield* Effect.promise(() => reader.read())).done).toBe(true)
    expect(Exit.isSuccess(yield* Fiber.await(fiber))).toBe(true)
  }),
)

effectTest(
  "a last batch that is not taken keeps the response open",
  Effect.gen(function* () {
    const { fiber, reader } = yield* writing(Effect.succeed([Chunk.of(byte(1)), true]))
    yield* settle
    expect(yield* Fiber.poll(fiber)).toMatchObject({ _tag: "None" })
    yield* Effect.promise(() => reader.read())
    yield* settle
    expect(yield* Fiber.poll(fiber)).toMatchObject({ _tag: "Some" })
  }),
)

effectTest(
  "a failure breaks the stream off",
  Effect.gen(function* () {
    const { reader, hangUps } = yield* writing(bodyOf(1, Effect.fail("broken")).body)
    yield* Effect.promise(() => reader.read())
    expect(yield* failureOf(reader)).toContain("the response failed")
    expect(hangUps()).toBe(1)
  }),
)

effectTest(
  "a cancelled stream ends the writer",
  Effect.gen(function* () {
    const { fiber, reader } = yield* writing(bodyOf(1, Effect.never).body)
    yield* Effect.promise(() => reader.read())
    yield* settle
    yield* Effect.promise(() => reader.cancel())
    expect(Exit.isInterrupted(yield* Fiber.await(fiber))).toBe(true)
  }),
)

for (const when of ["while the body waits", "while the client has not read"] as const) {
  effectTest(
    `an abort ${when} ends the writer`,
    Effect.gen(function* () {
      const waits = when === "while the body waits"
      const { fiber, abort } = yield* writing(waits ? Effect.never : bodyOf(2, done).body)
      yield* settle
      abort.abort()
      expect(Exit.isInterrupted(yield* Fiber.await(fiber))).toBe(true)
    }),
  )
}

effectTest(
  "a client that reads nothing ends the writer",
  Effect.gen(function* () {
    const { fiber, reader, hangUps } = yield* writing(bodyOf(2, done).body, Duration.millis(1))
    expect(Exit.isInterrupted(yield* Fiber.await(fiber))).toBe(true)
    expect(yield* failureOf(reader)).toContain("the client reads nothing")
    expect(hangUps()).toBe(1)
  }),
)
