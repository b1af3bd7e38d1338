/** Databases of tests in memory: making and dropping one there takes half the CPU time, and no disk. */
import { chown, mkdtemp, readdir, rm, stat, statfs } from "node:fs/promises"
import { join } from "node:path"
import type { SQL } from "bun"
import { processExists } from "../../src/process.ts"

/** Linux keeps its files in memory. Docker gives a container 64 MB of it, unless told otherwise. */
const memory = "/dev/shm"

/** Over twice what the databases of a whole run take at a time, in bytes. */
const leastFree = 2 * 1024 ** 3

export const memoryTablespace = "test_memory"

const prefix = "voice-agent-test-"

/** The folders of processes that were killed, but for those of other users. */
const removeLeftovers = async () => {
  for (const name of await readdir(memory)) {
    const [, pid] = new RegExp(`^${prefix}(\\d+)-`).exec(name) ?? []
    if (pid === undefined || processExists(Number(pid))) continue
    await rm(join(memory, name), { recursive: true, force: true }).catch(() => undefined)
  }
}

const hasRoom = async () => {
  const space = await statfs(memory).catch(() => undefined)
  return space !== undefined && space.bavail * space.bsize >= leastFree
}

/**
 * Makes the tablespace on a server of this machine that this process has started, if there is memory for it. Returns what
 * removes its files, for after the server's end.
 */
export const makeMemoryTablespace = async (admin: SQL): Promise<() => Promise<void>> => {
  if (!(await hasRoom())) return async () => undefined
  await removeLeftovers()
  const [{ data_directory }] = await admin`show data_directory`
  const folder = await mkdtemp(join(memory, `${prefix}${process.pid}-`))
  // Root's server runs as another user, who must own it.
  const { uid, gid } = await stat(data_directory)
  await chown(folder, uid, gid)
  await admin.unsafe(`create tablespace ${memoryTablespace} location '${folder}'`)
  return () => rm(folder, { recursive: true, force: true })
}
