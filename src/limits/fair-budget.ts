/** Something that all users share, of which each may hold as much as it leaves to the others. */
export interface Shares {
  /** Takes so much for the user, or nothing. */
  readonly take: (user: string, amount: number) => boolean
  readonly giveBack: (user: string, amount: number) => void
  /** Whether `take` would; nothing is kept for who asks. */
  readonly has: (user: string, amount: number) => boolean
  /** How much of it is taken, and by how many users. */
  readonly size: () => { readonly taken: number; readonly users: number }
}

/**
 * Nobody may hold more than what is free: one user alone gets a half, two who want all a third each, and so on. So there
 * is always something left for who comes next, and no bound by user is needed, which would be too low for the only user
 * and too high for a hundred. (Switches share the memory of their ports so: Choudhury and Hahne, 1998, with alpha = 1.)
 *
 * `all`: Infinity where there is no bound.
 */
export const makeShares = (all: number): Shares => {
  const held = new Map<string, number>()
  let taken = 0
  const has = (user: string, amount: number) => (held.get(user) ?? 0) + amount <= all - taken
  return {
    has,
    take: (user, amount) => {
      if (!has(user, amount)) return false
      held.set(user, (held.get(user) ?? 0) + amount)
      taken += amount
      return true
    },
    giveBack: (user, amount) => {
      const left = (held.get(user) ?? 0) - amount
      if (left > 0) held.set(user, left)
      else held.delete(user)
      taken -= amount
    },
    size: () => ({ taken, users: held.size }),
  }
}
