import { availableParallelism, totalmem } from "node:os"

/** The resources that this process may use. */
export interface HostResources {
  readonly cores: number
  /** Bytes. */
  readonly memory: number
}

/** The limits of the container if it has any, otherwise those of the machine. */
export const hostResources = (): HostResources => {
  const constrained = process.constrainedMemory()
  return {
    cores: availableParallelism(),
    // Without a cgroup limit this is 0 or larger than physical memory.
    memory: constrained > 0 ? Math.min(constrained, totalmem()) : totalmem(),
  }
}

/**
 * Measured with a provider as fast as a hosted model and all clients on the same two cores: 32 turns at a time have
 * their first audio after 1616 ms (p95; 1583 without a queue), 64 after 2776 ms.
 */
const turnsPerCore = 16
/** More cores do not help: everything except ffmpeg runs on one thread. */
const maxUsedCores = 4
/** Bytes: an upload on its way to the disk, and a recording of five minutes on its way to speech recognition. */
const memoryPerTurn = 32 * 1024 * 1024

/** Bytes of memory that an upload at full speed holds before they are on the disk. A slow upload holds almost none. */
const memoryPerUpload = 2 * 1024 * 1024
/** Each upload is a connection and an open file, and this many are about what a process may have. */
const maxUploads = 1024

/** The default of MAX_UPLOADS: as many as fit an eighth of the memory. */
export const defaultMaxUploads = ({ memory }: HostResources): number =>
  Math.max(1, Math.min(maxUploads, Math.floor(memory / 8 / memoryPerUpload)))

/** Bytes: four times what a silent connection takes, since some of them speak. */
const memoryPerRealtimeSession = 4 * 1024 * 1024
const maxRealtimeSessions = 1000

/** The default of REALTIME_MAX_SESSIONS: as many as fit the memory. */
export const defaultMaxRealtimeSessions = ({ memory }: HostResources): number =>
  Math.max(1, Math.min(maxRealtimeSessions, Math.floor(memory / memoryPerRealtimeSession)))

/** The default of MAX_TURNS: as many as run at their normal speed and fit half of the memory. */
export const defaultMaxTurns = ({ cores, memory }: HostResources): number =>
  Math.max(1, Math.min(turnsPerCore * Math.min(cores, maxUsedCores), Math.floor(memory / 2 / memoryPerTurn)))
