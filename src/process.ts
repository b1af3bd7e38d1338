/** Whether a process with this pid exists, also as a zombie. The pid may have been given to another program since. */
export const processExists = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    // EPERM: it exists and belongs to another user.
    return error instanceof Error && "code" in error && error.code === "EPERM"
  }
}
