/** True if a process with this pid exists, even a zombie. Another program may have got the pid since. */
export const processExists = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    // EPERM: it exists and belongs to another user.
    return error instanceof Error && "code" in error && error.code === "EPERM"
  }
}
