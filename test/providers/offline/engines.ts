import { afterAll, beforeAll } from "bun:test"
import { Effect, Exit, Scope } from "effect"
import OpenAI from "openai"
import { type OfflineEngines, startOfflineEngines } from "../../../src/providers/offline/server.ts"

type Options = Parameters<typeof startOfflineEngines>[0]

export interface RunningEngines extends OfflineEngines {
  readonly client: OpenAI
  readonly stop: () => Promise<void>
}

/** The engines as the service starts them, and OpenAI's own SDK pointed at them. */
export const start = async (options: Options): Promise<RunningEngines> => {
  const scope = await Effect.runPromise(Scope.make())
  const engines = await Effect.runPromise(Scope.extend(startOfflineEngines(options), scope))
  const client = new OpenAI({ apiKey: "any", baseURL: engines.baseUrl, maxRetries: 0 })
  return { ...engines, client, stop: () => Effect.runPromise(Scope.close(scope, Exit.void)) }
}

/** One set of engines for a test file. */
export const withEngines = (options: Options): (() => RunningEngines) => {
  let running: RunningEngines | undefined
  beforeAll(async () => {
    running = await start(options)
  })
  afterAll(() => running?.stop())
  return () => {
    if (running === undefined) throw new Error("the engines run only within tests")
    return running
  }
}

/** This process's children at work, by name. */
export const children = (): readonly string[] =>
  Bun.spawnSync(["pgrep", "-l", "-P", `${process.pid}`])
    .stdout.toString()
    .split("\n")
    .filter((line) => /espeak|ffmpeg|pocketsphinx/.test(line))

/** Waits, for two seconds at most, until something holds. */
export const eventually = async (holds: () => boolean): Promise<boolean> => {
  for (const end = Date.now() + 2000; Date.now() < end; await Bun.sleep(20)) if (holds()) return true
  return holds()
}

/** Any audio as 24 kHz mono samples, by way of ffmpeg; throws where it is no clean audio. */
export const samples = async (audio: Uint8Array, input: readonly string[] = []): Promise<Int16Array> => {
  const cmd = [
    "ffmpeg",
    "-nostdin",
    "-v",
    "error",
    ...input,
    "-i",
    "pipe:0",
    "-ac",
    "1",
    "-ar",
    "24000",
    "-f",
    "s16le",
    "pipe:1",
  ]
  const child = Bun.spawn({ cmd, stdin: audio, stdout: "pipe", stderr: "pipe" })
  const [pcm, complaints] = await Promise.all([
    new Response(child.stdout).arrayBuffer(),
    new Response(child.stderr).text(),
  ])
  if (complaints !== "" || (await child.exited) !== 0) throw new Error(`ffmpeg: ${complaints}`)
  return new Int16Array(pcm)
}

/** The loudest sample, of 32767. */
export const peakOf = (pcm: Int16Array): number =>
  pcm.reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0)

/** A 16-bit mono WAV of the given samples. */
export const wav = (pcm: Int16Array, rate: number): Uint8Array<ArrayBuffer> => {
  const bytes = new Uint8Array(44 + pcm.byteLength)
  const view = new DataView(bytes.buffer)
  bytes.set(new TextEncoder().encode("RIFF____WAVEfmt "), 0)
  view.setUint32(4, 36 + pcm.byteLength, true)
  view.setUint32(16, 16, true)
  view.setUint16(20, 1, true)
  view.setUint16(22, 1, true)
  view.setUint32(24, rate, true)
  view.setUint32(28, rate * 2, true)
  view.setUint16(32, 2, true)
  view.setUint16(34, 16, true)
  bytes.set(new TextEncoder().encode("data"), 36)
  view.setUint32(40, pcm.byteLength, true)
  bytes.set(new Uint8Array(pcm.buffer, pcm.byteOffset, pcm.byteLength), 44)
  return bytes
}
