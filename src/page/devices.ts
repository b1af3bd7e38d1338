/** What the choice of a microphone depends on. Chromium's entry "default" changes its label with the default device. */
const signature = async () => {
  const devices = await navigator.mediaDevices.enumerateDevices()
  return devices
    .filter(({ kind }) => kind === "audioinput")
    .map(({ deviceId, groupId, label }) => `${deviceId} ${groupId} ${label}`)
    .join("\n")
}

/** Calls `onChange` when another microphone may be the right one. Returns what ends it. */
export const watchDevices = (onChange: () => void): (() => void) => {
  let before = signature()
  const look = async () => {
    const earlier = before
    before = signature()
    if ((await earlier) !== (await before)) onChange()
  }
  const listener = () => {
    // Without a list, a change is likelier than none.
    look().catch(onChange)
  }
  before.catch(() => undefined)
  navigator.mediaDevices.addEventListener("devicechange", listener)
  return () => navigator.mediaDevices.removeEventListener("devicechange", listener)
}

/** Keeps a context running: a new headset, a call or a background tab may suspend it. Returns what ends it. */
export const keepRunning = (context: AudioContext): (() => void) => {
  const ends = new AbortController()
  const resume = () => {
    if (context.state !== "running" && context.state !== "closed") context.resume().catch(() => undefined)
  }
  const listen = { signal: ends.signal }
  context.addEventListener("statechange", resume, listen)
  document.addEventListener("visibilitychange", resume, listen)
  navigator.mediaDevices.addEventListener("devicechange", resume, listen)
  return () => ends.abort()
}
