/** The end of a check, by itself or by a signal: no process and no file of it stays. */
import { readdirSync, readFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"

const resources = new AsyncDisposableStack()
let ending: Promise<void> | undefined
let signalled: number | undefined

/** Makes something that the end of the check releases, before what was made earlier. Throws if the check ends already. */
export const acquire = <Resource>(
  make: () => Resource,
  release: (resource: Resource) => void | Promise<void>,
): Resource => {
  if (resources.disposed) throw new Error("The check ends.")
  return resources.adopt(make(), release)
}

/** Whether a signal ends the check. What fails from then on is no finding. */
export const isSignalled = (): boolean => signalled !== undefined

/** Releases everything and exits with this code, after a signal with 128 and its number, as a shell does. */
export const endCheck = async (code: number): Promise<never> => {
  ending ??= resources.disposeAsync()
  await ending.catch((error) => console.error(error))
  process.exit(signalled ?? code)
}

/**
 * Ends the check on SIGINT, SIGTERM or SIGHUP. Later signals change nothing: a Ctrl-C comes from the terminal and again from
 * `bun run`.
 */
export const endOnSignals = (): void => {
  for (const [signal, code] of [
    ["SIGHUP", 129] as const,
    ["SIGINT", 130] as const,
    ["SIGTERM", 143] as const,
  ]) {
    process.on(signal, () => {
      signalled ??= code
      void endCheck(code)
    })
  }
}

/** Zombies do not count: in a container, nothing may remove those whose parent has ended. */
const isThere = (group: number) => {
  if (process.platform !== "linux") return accepts(group)
  return readdirSync("/proc").some((pid) => {
    const [state, , ownGroup] = fieldsOf(pid)
    return state !== "Z" && Number(ownGroup) === group
  })
}

/** State, parent and process group: what follows the program's name, which may contain spaces and brackets. */
const fieldsOf = (pid: string): ReadonlyArray<string> => {
  if (!/^\d+$/.test(pid)) return []
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8").split(/.*\) /s)[1]?.split(" ") ?? []
  } catch {
    // It has ended.
    return []
  }
}

/** Whether a process of this group takes the signal. */
const accepts = (group: number, signal: NodeJS.Signals | 0 = 0) => {
  try {
    return process.kill(-group, signal)
  } catch {
    return false
  }
}

const endGroup = async (group: number, grace: number) => {
  for (const [signal, ms] of [["SIGTERM", grace] as const, ["SIGKILL", 1000] as const]) {
    if (!isThere(group)) return
    accepts(group, signal)
    for (const before = Date.now(); isThere(group) && Date.now() - before < ms; ) await sleep(20)
  }
}

/**
 * Makes a subprocess with `options.detached`. The end of the check ends it and all that it has started: with SIGTERM, and after
 * `grace` (in ms) with SIGKILL. The compiler does not end on SIGTERM.
 */
export const startGroup = <Child extends { readonly pid: number }>(
  start: (options: { readonly detached: true }) => Child,
  { grace = 0 } = {},
): Child =>
  acquire(
    () => start({ detached: true }),
    ({ pid }) => endGroup(pid, grace),
  )
