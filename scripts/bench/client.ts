/** One turn as its listener met it. Times in ms from the moment the request was sent. */
export interface Heard {
  readonly firstByteMs: number
  readonly lastByteMs: number
  /** Silence within the reply, for a player that starts at the first byte. */
  readonly gapMs: number
}

/** 160 kbit/s, as the scripted upstream speaks: bytes a ms of sound. */
const bytesPerMs = 20

export const takeTurn = async (api: string, key: string, audio: Blob): Promise<Heard> => {
  const form = new FormData()
  form.append("audio", audio, "recording")
  const sent = performance.now()
  const answer = await fetch(`${api}/voice/conversation`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
    body: form,
  })
  if (!answer.ok || answer.body === null) throw new Error(`${answer.status} ${await answer.text()}`)
  let firstByteMs = 0
  let playableMs = 0
  let gapMs = 0
  for await (const chunk of answer.body) {
    const now = performance.now() - sent
    if (firstByteMs === 0) firstByteMs = now
    gapMs += Math.max(0, now - firstByteMs - gapMs - playableMs)
    playableMs += chunk.length / bytesPerMs
  }
  return { firstByteMs, lastByteMs: performance.now() - sent, gapMs }
}

/** As many turns as asked for, by so many clients at once, each taking its next turn when its last has ended. */
export const takeTurns = async (
  turns: number,
  clients: number,
  turn: () => Promise<Heard>,
): Promise<ReadonlyArray<Heard>> => {
  const heard: Array<Heard> = []
  let left = turns
  const client = async () => {
    while (left > 0) {
      left -= 1
      heard.push(await turn())
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
  return heard
}

/** The value below which the share `p` of the values lies. */
export const percentile = (values: ReadonlyArray<number>, p: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * p))] ?? 0
