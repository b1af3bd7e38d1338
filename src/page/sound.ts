/** The page's one AudioContext and its analysers. Browsers start it only within a tap or key press. */
import { wavOf } from "./wav.ts"

let context: AudioContext | undefined
let playerAnalyser: AnalyserNode | undefined
let microphone: { readonly source: MediaStreamAudioSourceNode; readonly analyser: AnalyserNode } | undefined

/** An analyser for `levelOf` and the ring of bars. */
export const newAnalyser = (context: AudioContext) => {
  const analyser = context.createAnalyser()
  // 128 bands of 187 Hz each at 48 kHz. Speech is in the lower third.
  analyser.fftSize = 256
  analyser.smoothingTimeConstant = 0.72
  return analyser
}

const silence = wavOf([new Int16Array(4)])

let isUnlocked = false

/** The context, running if the browser allows it. */
export const startSound = (): AudioContext => {
  context ??= new AudioContext()
  if (context.state !== "running") context.resume().catch(() => undefined)
  return context
}

/** Call this in every tap and key press: on iPhones an element can play only if it has played within one. */
export const unlockSound = (player: HTMLAudioElement): void => {
  startSound()
  if (isUnlocked || !player.paused) return
  const url = URL.createObjectURL(silence)
  player.src = url
  player
    .play()
    .then(() => {
      isUnlocked = true
    })
    .catch(() => undefined)
    .finally(() => URL.revokeObjectURL(url))
}

/**
 * An analyser of the player's sound. It routes the sound through the context, so the context must run. Undefined on
 * Safari, where a ManagedMediaSource is silent in a context.
 */
export const hearPlayer = (player: HTMLAudioElement): AnalyserNode | undefined => {
  if (playerAnalyser !== undefined || "ManagedMediaSource" in globalThis) return playerAnalyser
  if (context?.state !== "running") return undefined
  playerAnalyser = newAnalyser(context)
  context.createMediaElementSource(player).connect(playerAnalyser).connect(context.destination)
  return playerAnalyser
}

/** An analyser of the microphone's sound, which is not played. */
export const hearMicrophone = (stream: MediaStream): AnalyserNode | undefined => {
  if (context === undefined) return undefined
  microphone?.source.disconnect()
  microphone = { source: context.createMediaStreamSource(stream), analyser: newAnalyser(context) }
  microphone.source.connect(microphone.analyser)
  return microphone.analyser
}

/** The level from 0 to 100: the root mean square, from -60 dB to 0 dB. */
export const levelOf = (analyser: AnalyserNode): number => {
  const samples = new Float32Array(analyser.fftSize)
  analyser.getFloatTimeDomainData(samples)
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length
  return Math.round(Math.min(100, Math.max(0, (100 * (10 * Math.log10(power + 1e-12) + 60)) / 60)))
}
