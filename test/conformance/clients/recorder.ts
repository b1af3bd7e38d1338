/** What a stock client saw, for the scripts of this folder. They run as processes of their own, in Node or in Bun. */
import type { Buffer } from "node:buffer"
import { readFileSync } from "node:fs"

export interface Seen {
  readonly type: string
}

/** How long a script waits for one event, in ms. */
const timeoutMs = 20_000

/** Keeps events in order. A script waits for one that comes after a mark. */
export const makeRecorder = <Event extends Seen>() => {
  const events: Array<Event> = []
  const checks = new Set<() => void>()
  const isOfType = <Type extends Event["type"]>(
    event: Event,
    type: Type,
  ): event is Extract<Event, { readonly type: Type }> => event.type === type

  return {
    events,
    add: (event: Event) => {
      events.push(event)
      for (const check of checks) check()
    },
    mark: () => events.length,
    /** The `count`th event of a type after a mark. */
    next: <Type extends Event["type"]>(
      from: number,
      type: Type,
      count = 1,
    ): Promise<Extract<Event, { readonly type: Type }>> =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          const seen = events.slice(from).map((event) => event.type)
          reject(new Error(`no ${type}; there were ${seen.join(", ")}`))
        }, timeoutMs)
        const check = () => {
          const found = events.slice(from).flatMap((event) => (isOfType(event, type) ? [event] : []))[
            count - 1
          ]
          if (found === undefined) return
          clearTimeout(timer)
          checks.delete(check)
          resolve(found)
        }
        checks.add(check)
        check()
      }),
  }
}

/** `NAME` of the environment. Throws if it is missing. */
export const variable = (name: string): string => {
  const value = process.env[name]
  if (value === undefined) throw new Error(`${name} is missing`)
  return value
}

/** 24 kHz s16le, from the file `UTTERANCE`: speech, then silence. */
export const utterance = readFileSync(variable("UTTERANCE"))

/** Pieces of 100 ms, as clients send them. */
export const pieces = (audio: Buffer): ReadonlyArray<Buffer> =>
  Array.from({ length: Math.ceil(audio.length / 4800) }, (_, at) =>
    audio.subarray(at * 4800, at * 4800 + 4800),
  )

/** Prints the report as the only line of the output, and ends the process. */
export const finish = (report: object): void => {
  process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0))
}
