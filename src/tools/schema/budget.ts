/** What one check may cost. A unit is about 0.1 µs of one core. 1000 objects with a pattern and two types each need 250,000. */
const units = 300_000

/** Bounds the work of one check, so that no schema of a user blocks the service: about 20 ms at worst. */
export interface Budget {
  /** False: nothing is left, and the check ends. */
  readonly spend: (cost: number) => boolean
  readonly isSpent: () => boolean
}

export const makeBudget = (): Budget => {
  let left = units
  const isSpent = () => left <= 0
  return {
    spend: (cost) => {
      left -= cost
      return !isSpent()
    },
    isSpent,
  }
}
