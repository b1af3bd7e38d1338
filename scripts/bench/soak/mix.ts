import { PCGRandom } from "effect/Utils"
import { plans } from "./faults.ts"

/** What clients do: how often of 100 times, and how many turns that takes. What is refused unheard is no turn. */
export const kinds = {
  "whole turn": { share: 38, turns: 1 },
  "fault at the provider": { share: 13, turns: 1 },
  "hang-up in the upload": { share: 5, turns: 1 },
  "hang-up before the answer": { share: 6, turns: 1 },
  "hang-up within the answer": { share: 6, turns: 1 },
  "reader that pauses": { share: 4, turns: 1 },
  "turns of one session at once": { share: 4, turns: 3 },
  "retry with an Idempotency-Key": { share: 5, turns: 2 },
  "cancelled turn": { share: 4, turns: 1 },
  "bad file": { share: 5, turns: 0 },
  "wrong key": { share: 2, turns: 0 },
  "upload too large": { share: 1, turns: 0 },
  "session's life": { share: 4, turns: 1 },
  "account that leaves in its turn": { share: 2, turns: 1 },
  export: { share: 1, turns: 0 },
} as const

export type Kind = keyof typeof kinds

export const sayings = ["WAV", "WebM", "MP3", "text"] as const
export type SaidAs = (typeof sayings)[number]

export const accepts = ["audio/mpeg", "audio/wav", "application/json", "text/event-stream"] as const
export type Accept = (typeof accepts)[number]

/** One thing that a client comes to do. */
export interface Visit {
  readonly kind: Kind
  readonly saidAs: SaidAs
  readonly accept: Accept
  /** Index in `plans`: what goes wrong at the provider. */
  readonly mark: number
  /** Whether its turn goes on with the session of the client's turns before. */
  readonly goesOn: boolean
  /** 0 to 1: when it leaves, or which of several ways it takes. */
  readonly when: number
}

const names = Object.keys(kinds).filter((name): name is Kind => name in kinds)
const sum = names.reduce((total, name) => total + kinds[name].share, 0)

/** The kind at this point (0 to 1) when all stand in a row, each as long as its share. */
const kindAt = (point: number): Kind => {
  let left = point * sum
  for (const name of names) {
    left -= kinds[name].share
    if (left < 0) return name
  }
  return "whole turn"
}

const pick = <A>(random: PCGRandom, from: readonly [A, ...ReadonlyArray<A>]): A =>
  from[random.integer(from.length)] ?? from[0]

/** An endless row of visits, the same for the same seed. */
export const makeMix = (seed: number): (() => Visit) => {
  const random = new PCGRandom(seed)
  return () => {
    const kind = kindAt(random.number())
    return {
      kind,
      saidAs: pick(random, sayings),
      accept: pick(random, accepts),
      mark: kind === "fault at the provider" ? 1 + random.integer(plans.length - 1) : 0,
      goesOn: random.number() < 0.6,
      when: random.number(),
    }
  }
}

const plain: Visit = {
  kind: "whole turn",
  saidAs: "WAV",
  accept: "audio/mpeg",
  mark: 0,
  goesOn: false,
  when: 0.5,
}

/** Everything once: what is loaded, compiled and opened with the first use is there afterwards. */
export const firstOfAll = (): ReadonlyArray<Visit> => [
  ...sayings.flatMap((saidAs) => accepts.map((accept) => ({ ...plain, saidAs, accept }))),
  ...names.map((kind) => ({ ...plain, kind, mark: kind === "fault at the provider" ? 1 : 0 })),
  ...plans.flatMap((_, mark) =>
    mark === 0 ? [] : [{ ...plain, kind: "fault at the provider" as const, mark }],
  ),
]
