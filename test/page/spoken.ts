/** The page with a microphone that a test speaks into, and with a recording of all that it plays. */
import { join } from "node:path"
import type { Browser, Page } from "playwright-core"
import type { Service } from "../support/service.ts"
import { speechSamples } from "../support/spoken.ts"
import { wavOf } from "../support/wav.ts"
import { type Visit, visit } from "./browser.ts"

/** The globals of microphone.js. */
declare const window: {
  readonly microphone: {
    readonly asked: ReadonlyArray<object>
    readonly say: (wav: string) => Promise<void>
    readonly replace: (name: string) => void
    readonly unplug: () => void
  }
  readonly recording: {
    readonly context: { readonly state: string; readonly suspend: () => Promise<void> }
    readonly take: () => Promise<{ readonly base64: string; readonly rate: number }>
  }
  readonly hideTab: () => void
}

const microphone = await Bun.file(join(import.meta.dir, "microphone.js")).text()

/** `seconds` of real speech as a WAV in base64. */
const speech = async (seconds: number) => {
  const samples = Float32Array.from(await speechSamples(), (sample) => sample / 0x8000)
  return Buffer.from(wavOf(samples.subarray(0, seconds * 24_000), { rate: 24_000 })).toString("base64")
}
/** "Hello, can you hear me?" */
const sentence = await speech(2.2)
const word = await speech(1)

/** An event that the page sent or received. */
interface SocketEvent {
  readonly type: string
  readonly [field: string]: unknown
}

/** A sound between silences, in seconds of the page's audio clock. */
export interface Run {
  readonly seconds: number
  /** The loudest sample within the last 20 ms, 0 to 1: what ends by itself ends quietly. */
  readonly endLevel: number
}

const gapSeconds = 0.03

const runsOf = ({ base64, rate }: { readonly base64: string; readonly rate: number }): ReadonlyArray<Run> => {
  const bytes = Buffer.from(base64, "base64")
  const samples = new Int16Array(bytes.buffer, bytes.byteOffset, bytes.length >> 1)
  const runs: Array<{ start: number; end: number }> = []
  for (const [at, sample] of samples.entries()) {
    if (Math.abs(sample) < 30) continue
    const last = runs.at(-1)
    if (last !== undefined && at - last.end < gapSeconds * rate) last.end = at
    else runs.push({ start: at, end: at })
  }
  const level = (from: number, to: number) =>
    samples.subarray(from, to).reduce((most, each) => Math.max(most, Math.abs(each)), 0) / 0x7fff
  return runs.map(({ start, end }) => ({
    seconds: (end - start) / rate,
    endLevel: level(end - Math.round(0.02 * rate), end - Math.round(0.009 * rate)),
  }))
}

export interface SpokenVisit extends Visit {
  readonly say: (what: "sentence" | "word") => Promise<void>
  readonly replaceMicrophone: (name: string) => Promise<void>
  readonly unplugMicrophone: () => Promise<void>
  /** The constraints of each opening of the microphone. */
  readonly asked: () => Promise<ReadonlyArray<object>>
  /** Slows timers and stops frames, as browsers do for a tab in the background. */
  readonly hide: () => Promise<void>
  readonly suspend: () => Promise<void>
  readonly contextState: () => Promise<string>
  /** The sounds since the last call. */
  readonly heard: () => Promise<ReadonlyArray<Run>>
  /** Events of the sockets, without audio. */
  readonly events: ReadonlyArray<SocketEvent>
  /** The addresses and the subprotocols of the sockets. */
  readonly sockets: ReadonlyArray<string>
}

const watchSockets = (page: Page) => {
  const events: Array<SocketEvent> = []
  const sockets: Array<string> = []
  page.on("websocket", (socket) => {
    sockets.push(socket.url())
    const note = ({ payload }: { readonly payload: string | Buffer }) => {
      const event: SocketEvent = JSON.parse(`${payload}`)
      if (!event.type.includes("audio_buffer.append") && !event.type.includes("delta")) events.push(event)
    }
    socket.on("framesent", note)
    socket.on("framereceived", note)
  })
  return { events, sockets }
}

export const visitSpoken = async (browser: Browser, service: Service): Promise<SpokenVisit> => {
  const visited = await visit(browser, service, {
    before: microphone,
    expected: /ScriptProcessor|ERR_|WebSocket/,
  })
  const { page } = visited
  return {
    ...visited,
    ...watchSockets(page),
    say: (what) => page.evaluate((wav) => window.microphone.say(wav), what === "word" ? word : sentence),
    replaceMicrophone: (name) => page.evaluate((name) => window.microphone.replace(name), name),
    unplugMicrophone: () => page.evaluate(() => window.microphone.unplug()),
    asked: () => page.evaluate(() => window.microphone.asked),
    hide: () => page.evaluate(() => window.hideTab()),
    suspend: () => page.evaluate(() => window.recording.context.suspend()),
    contextState: () => page.evaluate(() => window.recording.context.state),
    heard: async () => {
      // A block of the recording.
      await page.waitForTimeout(400)
      return runsOf(await page.evaluate(() => window.recording.take()))
    },
  }
}
