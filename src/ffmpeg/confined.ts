/** Limits of a program that reads the input of strangers. prlimit sets them; a machine may have none, as macOS. */
export interface Limits {
  /** Writable memory, in bytes. */
  readonly dataBytes: number
  /**
   * Address space, libraries included, in bytes. It matters on kernels that count only the heap as data (Linux before
   * 4.7, gVisor).
   */
  readonly addressBytes: number
  /** The size of a file that it writes, in bytes. */
  readonly fileBytes: number
  /** Libraries included. */
  readonly openFiles: number
  /** Undefined: the program limits itself. */
  readonly cpuSeconds?: number
}

/**
 * The command within the limits: prlimit sets them and replaces itself with the program. Without a `prlimit` there are none.
 * The number of processes has no limit, because that limit is per user and would include the service itself.
 */
export const limited = (
  prlimit: string | null,
  { dataBytes, addressBytes, fileBytes, openFiles, cpuSeconds }: Limits,
  command: ReadonlyArray<string>,
): ReadonlyArray<string> =>
  prlimit === null
    ? command
    : [
        ...[prlimit, `--data=${dataBytes}`, `--as=${addressBytes}`, `--fsize=${fileBytes}`, "--core=0"],
        ...[`--nofile=${openFiles}`, ...(cpuSeconds === undefined ? [] : [`--cpu=${cpuSeconds}`]), "--"],
        ...command,
      ]

/**
 * Starts a program with an absolute path, without environment variables, which hold keys, and in a session of its own. The
 * caller must kill what it starts. It throws if no process can be started.
 *
 * `cwd` is `/`: tmp cleaners never delete it, and an unprivileged process cannot create files there.
 */
export const startConfined = (command: ReadonlyArray<string>) => {
  const child = Bun.spawn([...command], {
    stdio: ["pipe", "pipe", "pipe"],
    env: {},
    cwd: "/",
    // A Ctrl-C goes to the terminal's process group, and running turns may finish. If the service is killed, the pipes
    // close, and the program exits.
    detached: true,
    // The id of the group stays reserved while a process is in it, so this kills only what the program started.
    onExit: ({ pid }) => killGroup(pid),
  })
  const isAlive = () => child.exitCode === null && child.signalCode === null
  return {
    child,
    isAlive,
    /** Kills the program and the processes that it started. Resolves once it has exited. */
    kill: async () => {
      if (isAlive()) killGroup(child.pid)
      await child.exited
    },
  }
}

const killGroup = (pid: number) => {
  try {
    process.kill(-pid, "SIGKILL")
  } catch {
    // The group has no processes left.
  }
}

/** The last 500 characters of standard error. For a broken file, a program may log a line for each frame. */
export const tailOf = async (stderr: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> => {
  let tail = ""
  for await (const text of stderr.pipeThrough(new TextDecoderStream())) tail = `${tail}${text}`.slice(-500)
  return tail
}
