/** Sends an answer at its pace, and breaks it off where the step says so. */
import type { Exchange, Framing } from "./http-socket.ts"
import { stalled } from "./stalls.ts"
import { type Answer, errorEvent, type Part } from "./upstream-answers.ts"
import type { Call, Outcome } from "./upstream-calls.ts"
import type { After, BreakOff, Step } from "./upstream-steps.ts"

/** Resolves when everything is sent or the connection has ended. Calls `changed` after each step. */
export const sendAnswer = async (
  exchange: Exchange,
  call: Call,
  answer: Answer,
  step: Step,
  changed: () => void,
): Promise<Outcome> => {
  const outcome = await perform(exchange, call, answer, step, changed)
  if (!exchange.lost.aborted) return outcome
  return exchange.clientLeft() ? "aborted by client" : "failed"
}

const perform = async (
  exchange: Exchange,
  call: Call,
  answer: Answer,
  step: Step,
  changed: () => void,
): Promise<Outcome> => {
  const { lost } = exchange
  const { breakOff } = step
  if (step.after !== undefined) await Promise.race([step.after, lostOf(lost)])
  await sleep(step.delayMs, lost)
  if (breakOff !== undefined && breakOff.after === undefined) return giveUp(exchange, breakOff)

  const framing = framingOf(answer, breakOff)
  exchange.head(answer.status, answer.headers, framing)
  call.status = answer.status
  call.headersAt = performance.now()
  changed()
  await sleep(step.firstChunkDelayMs, lost)

  const start = performance.now()
  for (const part of upTo(answer, framing, breakOff?.after)) {
    await sleep(start + part.dueMs - performance.now(), lost)
    if (lost.aborted) break
    const token = part.token === undefined ? {} : { token: part.token }
    call.sent.push({ at: performance.now(), bytes: part.bytes.length, ...token })
    await exchange.send(part.bytes)
    changed()
  }
  if (breakOff !== undefined) return giveUp(exchange, breakOff)
  await sleep(step.endDelayMs, lost)
  exchange.end()
  return answer.status < 400 ? "answered" : "failed"
}

/** A body that ends early, but correctly, has no Content-Length. */
const framingOf = ({ streamed, parts }: Answer, breakOff: BreakOff | undefined): Framing =>
  streamed || breakOff?.how === "stop" || breakOff?.how === "error event"
    ? "chunked"
    : { length: parts.reduce((sum, { bytes }) => sum + bytes.length, 0) }

/** The parts that go out before the break. A body of known length stops at least one byte short of it. */
const upTo = ({ parts }: Answer, framing: Framing, after: After | undefined): readonly Part[] => {
  if (after === undefined) return parts
  if (after === "headers") return []
  if ("tokens" in after) {
    const tokenAt = parts.flatMap(({ token }, index) => (token === undefined ? [] : [index]))
    const last = tokenAt.at(-1)
    return parts.slice(0, tokenAt[after.tokens] ?? (last === undefined ? parts.length : last + 1))
  }
  let left = framing === "chunked" ? after.bytes : Math.min(after.bytes, framing.length - 1)
  return parts.flatMap((part) => {
    const bytes = part.bytes.subarray(0, Math.max(0, left))
    left -= part.bytes.length
    return bytes.length === 0 ? [] : [{ ...part, bytes }]
  })
}

/** A reset discards what the client has not read yet. This pause, in ms, lets the client read it. */
const READING_MS = 20

const giveUp = async (exchange: Exchange, { how, after }: BreakOff): Promise<Outcome> => {
  switch (how) {
    case "reset":
    case "close":
      if (after !== undefined) await sleep(READING_MS, exchange.lost)
      exchange.breakOff(how)
      break
    case "hang":
      await sleep(Number.POSITIVE_INFINITY, exchange.lost)
      break
    case "error event":
      await exchange.send(errorEvent("The server had an error while processing your request."))
      exchange.end()
      break
    case "stop":
      exchange.end()
      break
  }
  return "failed"
}

/** Beside a fast clock it is prolonged as the sleeps of that clock are: a timeout must not come before a shorter delay. */
const lostOf = (lost: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (lost.aborted) resolve()
    else lost.addEventListener("abort", () => resolve(), { once: true })
  })

const sleep = (ms = 0, lost: AbortSignal) =>
  ms <= 0 || lost.aborted
    ? undefined
    : new Promise<void>((resolve) => {
        let timer: ReturnType<typeof setTimeout> | undefined
        const done = () => {
          clearTimeout(timer)
          lost.removeEventListener("abort", done)
          resolve()
        }
        const wait = (left: number) => {
          const before = stalled()
          timer = setTimeout(() => {
            const missed = stalled() - before
            if (missed > 1) wait(missed)
            else done()
          }, left)
        }
        if (Number.isFinite(ms)) wait(ms)
        lost.addEventListener("abort", done)
      })
