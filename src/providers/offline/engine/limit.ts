/** Runs at most `limit` jobs at a time, first come, first served. */
export const makeLimit = (limit: number) => {
  let free = limit
  const waiting: Array<() => void> = []
  return async <A>(job: () => Promise<A>): Promise<A> => {
    if (free > 0) free -= 1
    else await new Promise<void>((resolve) => waiting.push(resolve))
    try {
      return await job()
    } finally {
      const next = waiting.shift()
      if (next === undefined) free += 1
      else next()
    }
  }
}
