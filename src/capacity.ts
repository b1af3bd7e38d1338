import { availableParallelism, totalmem } from "node:os"

/** What a process may use. */
export interface Machine {
  readonly cores: number
  /** In bytes. */
  readonly memory: number
}

/** A container's own bounds where it has some. */
export const thisMachine = (): Machine => {
  const constrained = process.constrainedMemory()
  return {
    cores: availableParallelism(),
    // What is not constrained is told as 0, or as more than there is.
    memory: constrained > 0 ? Math.min(constrained, totalmem()) : totalmem(),
  }
}

/**
 * With a provider of a hosted model's pace, and all clients on the same two cores, 32 turns at a time had their first
 * sound at 1616 ms (p95; 1583 at best), 64 at 2776.
 */
const turnsPerCore = 16
/** The one thread that everything but ffmpeg runs on is the bound from here on, however many cores there are. */
const coresUsed = 4
/** In bytes: an upload on its way to the disk, and a recording of five minutes on its way to speech recognition. */
const memoryPerTurn = 32 * 1024 * 1024

/**
 * In bytes: what one that comes at full speed holds on its way to the disk. One that dribbles holds next to nothing.
 */
const memoryPerUpload = 2 * 1024 * 1024
/** Each is a connection and a file: beyond this, that is what a process runs out of. */
const mostUploads = 1024

/** How many uploads at a time a process takes in, in an eighth of the memory. */
export const uploadsCarriedBy = ({ memory }: Machine): number =>
  Math.max(1, Math.min(mostUploads, Math.floor(memory / 8 / memoryPerUpload)))

/** How many turns at a time a process carries at their normal pace, in half of the memory. */
export const turnsCarriedBy = ({ cores, memory }: Machine): number =>
  Math.max(1, Math.min(turnsPerCore * Math.min(cores, coresUsed), Math.floor(memory / 2 / memoryPerTurn)))
