import { PCGRandom } from "effect/Utils"
import { plans } from "./faults.ts"

/** What clients do: the share in percent, and the number of turns. A refused upload is not a turn. */
export const kinds = {
  "whole turn": { share: 30, turns: 1 },
  "fault at the provider": { share: 10, turns: 1 },
  "disconnect during the upload": { share: 5, turns: 1 },
  "disconnect before the response": { share: 6, turns: 1 },
  "disconnect during the response": { share: 6, turns: 1 },
  "client that stops reading": { share: 3, turns: 1 },
  "concurrent turns of a session": { share: 4, turns: 3 },
  "retry with an Idempotency-Key": { share: 6, turns: 2 },
  "cancelled turn": { share: 4, turns: 1 },
  "invalid file": { share: 4, turns: 0 },
  "wrong key": { share: 2, turns: 0 },
  "upload too large": { share: 1, turns: 0 },
  "life of a session": { share: 3, turns: 1 },
  "account deleted during a turn": { share: 2, turns: 1 },
  export: { share: 1, turns: 0 },
  "tool of the service": { share: 4, turns: 1 },
  "tool of the client": { share: 2, turns: 2 },
  "Realtime conversation": { share: 4, turns: 5 },
  "Realtime disconnect during a reply": { share: 2, turns: 1 },
  "Realtime interruption": { share: 1, turns: 2 },
} as const

export type Kind = keyof typeof kinds

export const inputKinds = ["WAV", "WebM", "MP3", "text"] as const
export type InputKind = (typeof inputKinds)[number]

export const accepts = ["audio/mpeg", "audio/wav", "application/json", "text/event-stream"] as const
export type Accept = (typeof accepts)[number]

/** One visit of a client. */
export interface Visit {
  readonly kind: Kind
  readonly input: InputKind
  readonly accept: Accept
  /** Index in `plans`: the fault at the provider. */
  readonly mark: number
  /** Whether its turn continues the client's session. */
  readonly continuesSession: boolean
  /** 0 to 1: the moment it disconnects, or the variant it uses. */
  readonly when: number
}

const names = Object.keys(kinds).filter((name): name is Kind => name in kinds)
const sum = names.reduce((total, name) => total + kinds[name].share, 0)

/** The kind at this point (0 to 1) of the cumulative shares. */
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

/** An endless sequence of visits. The same seed gives the same sequence. */
export const makeMix = (seed: number): (() => Visit) => {
  const random = new PCGRandom(seed)
  return () => {
    const kind = kindAt(random.number())
    return {
      kind,
      input: pick(random, inputKinds),
      accept: pick(random, accepts),
      mark: kind === "fault at the provider" ? 1 + random.integer(plans.length - 1) : 0,
      continuesSession: random.number() < 0.6,
      when: random.number(),
    }
  }
}

const plain: Visit = {
  kind: "whole turn",
  input: "WAV",
  accept: "audio/mpeg",
  mark: 0,
  continuesSession: false,
  when: 0.5,
}

/** Each kind of visit once, as warm-up: first uses load modules, compile code and open connections. */
export const firstOfAll = (): ReadonlyArray<Visit> => [
  ...inputKinds.flatMap((input) => accepts.map((accept) => ({ ...plain, input, accept }))),
  ...names.map((kind) => ({ ...plain, kind, mark: kind === "fault at the provider" ? 1 : 0 })),
  ...plans.flatMap((_, mark) =>
    mark === 0 ? [] : [{ ...plain, kind: "fault at the provider" as const, mark }],
  ),
]
