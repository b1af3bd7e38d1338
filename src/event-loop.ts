/**
 * Resolves after the process has read and written its sockets. Effect's own yield lets only other fibers run, and long work
 * in one piece would hold up all connections.
 */
export const nextEvents = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
