import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { FastCheck as fc } from "effect"
import { wav16k } from "../support/audio.ts"
import { multipart, multipartType } from "../support/multipart.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import type { BreakOff, Stage, Step } from "../support/upstream-steps.ts"

/** A seeded generator: the same cases in every run. */
const SEED = 20

let service: TurnService
let key = ""
let recording: Uint8Array = new Uint8Array()
beforeAll(async () => {
  service = await startTurns({ speed: 50 })
  key = await service.register()
  recording = await wav16k()
})
afterAll(() => service.stop())

const REPLY =
  "This is the first sentence of the reply. Here is the second one, a little longer than the first was. " +
  "And the third is there to be spoken after all of the others, in a piece of its own."

const after: fc.Arbitrary<Pick<BreakOff, "after">> = fc.oneof(
  fc.constant({}),
  fc.constant({ after: "headers" as const }),
  fc.nat(40).map((tokens) => ({ after: { tokens } })),
  fc.nat(12_000).map((bytes) => ({ after: { bytes } })),
)

const breaks: ReadonlyArray<BreakOff["how"]> = ["reset", "close", "hang", "stop", "error event"]

/** The behaviour of one call: a failure or none. */
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.constant({}),
  fc.tuple(fc.constantFrom(...breaks), after).map(([how, when]): Step => ({ breakOff: { how, ...when } })),
  fc
    .constantFrom(400, 401, 404, 429, 500)
    .map((status): Step => ({ error: { status, message: "Scripted" } })),
  fc.constant<Step>({ raw: { body: "<html>busy</html>", contentType: "text/html" } }),
)

interface Draw {
  readonly accept: string
  readonly scripts: { readonly [stage in Stage]: ReadonlyArray<Step> }
  /** In ms, between tokens and between audio chunks. */
  readonly pace: number
  /** The client disconnects after this many bytes; undefined: it reads to the end. */
  readonly leavesAt: number | undefined
}

const draw: fc.Arbitrary<Draw> = fc.record({
  accept: fc.constantFrom("audio/mpeg", "audio/pcm", "application/json", "text/event-stream"),
  scripts: fc.record({
    stt: fc.array(step, { maxLength: 1 }),
    llm: fc.array(step, { maxLength: 2 }),
    tts: fc.array(step, { maxLength: 4 }),
  }),
  pace: fc.nat(4),
  leavesAt: fc.option(fc.nat(20_000), { nil: undefined, freq: 4 }),
})

const stages = ["stt", "llm", "tts"] as const

const play = async ({ accept, scripts, pace, leavesAt }: Draw) => {
  service.reset()
  service.upstream.default("llm", { text: REPLY })
  for (const stage of stages) {
    const paced = { ...(stage === "tts" ? { seconds: 0.5 } : { text: REPLY }), chunkDelayMs: pace }
    service.upstream.script(
      stage,
      scripts[stage].map((each) => ({ ...paced, ...each })),
    )
  }
  const before = await service.stored()
  const client = await service.converseRaw(key, recording, accept)
  const answer = await client.until(({ body }) => leavesAt !== undefined && body.length >= leavesAt)
  client.leave()
  await service.nothingLeft()
  const { messages, sessions } = await service.stored()
  const saved = { messages: messages - before.messages, sessions: sessions - before.sessions }
  const newest = await service.database.sql`
    select role, content, interrupted from messages order by sequence desc limit ${saved.messages}`
  return { answer, saved, newest, left: leavesAt !== undefined && !answer.whole }
}

/** The last event of a stream. */
const lastEvent = (body: string) => /event: (\S+)\ndata: .*\n\n(?:: .*\n\n)*$/.exec(body)?.[1]

describe("any failure at any time", () => {
  test(
    "a clean end means saved, and nothing is left",
    () =>
      fc.assert(
        fc.asyncProperty(draw, async (drawn) => {
          const { answer, saved, newest, left } = await play(drawn)
          const isSaved = saved.messages === 2
          expect(saved).toEqual(isSaved ? { messages: 2, sessions: 1 } : { messages: 0, sessions: 0 })
          const [reply] = newest
          const isWhole = isSaved && !reply.interrupted
          // A heard part is a prefix of the reply; without streaming, nothing was heard.
          if (isSaved) expect(REPLY.startsWith(reply.content)).toBe(true)
          if (isWhole) expect(reply.content).toBe(REPLY)
          if (isSaved && !isWhole) expect(drawn.accept).not.toBe("application/json")
          const body = answer.body.toString()
          const isEvents = answer.status === 200 && drawn.accept === "text/event-stream"
          if (answer.whole && isEvents) {
            expect(lastEvent(body)).toBe(isWhole ? "turn.completed" : "error")
            expect(body.match(/^event: (turn\.completed|error)$/gm)).toHaveLength(1)
          } else if (answer.whole) expect({ ok: answer.status === 200 }).toEqual({ ok: isWhole })
          else if (!left) expect(isWhole).toBe(false)
          if (answer.whole && answer.status !== 200) {
            expect(JSON.parse(body)).toMatchObject({ error: expect.any(String) })
          }
        }),
        { seed: SEED, numRuns: 60, endOnFailure: true },
      ),
    60_000,
  )
})

/** A form with changed, dropped or doubled bytes. */
const mangled = fc
  .array(fc.tuple(fc.nat(), fc.constantFrom("drop", "double", "change"), fc.nat(255)), {
    minLength: 1,
    maxLength: 5,
  })
  .map((changes) => {
    const body = multipart([
      { name: "sessionId", content: "x" },
      { name: "audio", filename: "a.wav", type: "audio/wav", content: recording.subarray(0, 400) },
    ])
    return changes.reduce((bytes, [where, how, value]) => {
      const at = where % (bytes.length + 1)
      const size = how === "change" ? 1 : 20
      const middle =
        how === "drop"
          ? []
          : how === "change"
            ? [Uint8Array.of(value)]
            : [bytes.subarray(at, at + size), bytes.subarray(at, at + size)]
      return Buffer.concat([bytes.subarray(0, at), ...middle, bytes.subarray(at + size)])
    }, Buffer.from(body))
  })

test(
  "a mangled form is a turn or a 4xx",
  () =>
    fc.assert(
      fc.asyncProperty(mangled, async (body) => {
        service.reset()
        const answer = await fetch(`${service.url}/voice/conversation`, {
          method: "POST",
          headers: {
            authorization: `Bearer ${key}`,
            "content-type": multipartType,
            accept: "application/json",
          },
          body,
        })
        const said: unknown = await answer.json()
        expect([200, 400]).toContain(answer.status)
        if (answer.status === 400) {
          expect(said).toMatchObject({ error: expect.stringMatching(/^(VALIDATION_ERROR|INVALID_AUDIO)$/) })
        }
        await service.nothingLeft()
      }),
      { seed: SEED, numRuns: 100, endOnFailure: true },
    ),
  60_000,
)
