import { arch, availableParallelism, cpus, release, totalmem, type } from "node:os"

/** A description of this machine, with today's date. */
export const describeMachine = (): string => {
  const date = new Date().toISOString().slice(0, 10)
  const model = cpus()[0]?.model.trim() ?? "unknown CPU"
  const memory = (totalmem() / 1024 ** 3).toFixed(0)
  return `${date}; ${availableParallelism()} cores of ${model}, ${memory} GB; ${type()} ${release()} ${arch()}; Bun ${Bun.version}`
}

/** CPU time of all cores since the start of the machine, in ms. */
const readTimes = () => {
  const cores = cpus().map(({ times }) => times)
  const idle = cores.reduce((sum, times) => sum + times.idle, 0)
  return {
    idle,
    all: cores.reduce((sum, { user, nice, sys, idle, irq }) => sum + user + nice + sys + idle + irq, 0),
  }
}

/** How long the load of other programs is measured, in ms. */
const watchedMs = 2000

/** How much of the machine's CPU is in use, 0 to 1. */
export const busyShare = async (): Promise<number> => {
  const before = readTimes()
  await Bun.sleep(watchedMs)
  const after = readTimes()
  return 1 - (after.idle - before.idle) / (after.all - before.all)
}
