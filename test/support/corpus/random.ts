/** Pseudo-random numbers, the same for the same text in every run. */
export interface Random {
  /** 0 to `below` - 1. */
  readonly int: (below: number) => number
  readonly pick: <A>(from: ReadonlyArray<A>) => A
  readonly bytes: (length: number) => Buffer
}

/** Mulberry32 (Tommy Ettinger, public domain), from the hash of the text. */
export const randomOf = (text: string): Random => {
  let state = Number(Bun.hash(text) & 0xffff_ffffn)
  const next = () => {
    state = (state + 0x6d2b_79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
  const int = (below: number) => (below <= 1 ? 0 : next() % below)
  return {
    int,
    pick: (from) => {
      const picked = from[int(from.length)]
      if (picked === undefined) throw new Error("nothing to pick from")
      return picked
    },
    bytes: (length) => Buffer.alloc(length).map(() => int(256)) as Buffer,
  }
}
