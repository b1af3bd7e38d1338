/** The page's one audio context, and what it hears. Browsers let it run only from within a tap or a key press. */

let context: AudioContext | undefined
let ofPlayer: AnalyserNode | undefined
let ofMicrophone: { readonly source: MediaStreamAudioSourceNode; readonly analyser: AnalyserNode } | undefined

const newAnalyser = (context: AudioContext) => {
  const analyser = context.createAnalyser()
  // 128 bands, of 187 Hz each at 48 kHz: speech lies in the lower third.
  analyser.fftSize = 256
  analyser.smoothingTimeConstant = 0.72
  return analyser
}

/** 8 kHz, 8 bits, four samples of silence. */
const silence = new Blob(
  [
    Uint8Array.from(
      "RIFF\x28\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\x04\0\0\0\x80\x80\x80\x80",
      (character) => character.charCodeAt(0),
    ),
  ],
  { type: "audio/wav" },
)

let isUnlocked = false

/** To be called in every tap and key press: iPhones let only an element play that has played in one. */
export const unlockSound = (player: HTMLAudioElement): void => {
  context ??= new AudioContext()
  if (context.state !== "running") context.resume().catch(() => undefined)
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
 * What the player plays. Its sound goes through the context from then on, so only where that runs; and not on Safari,
 * where a ManagedMediaSource is silent there.
 */
export const hearPlayer = (player: HTMLAudioElement): AnalyserNode | undefined => {
  if (ofPlayer !== undefined || "ManagedMediaSource" in globalThis) return ofPlayer
  if (context?.state !== "running") return undefined
  ofPlayer = newAnalyser(context)
  context.createMediaElementSource(player).connect(ofPlayer).connect(context.destination)
  return ofPlayer
}

/** What the microphone hears, which is not played. */
export const hearMicrophone = (stream: MediaStream): AnalyserNode | undefined => {
  if (context === undefined) return undefined
  ofMicrophone?.source.disconnect()
  ofMicrophone = { source: context.createMediaStreamSource(stream), analyser: newAnalyser(context) }
  ofMicrophone.source.connect(ofMicrophone.analyser)
  return ofMicrophone.analyser
}

/** How loud it is, 0 to 100: the root mean square in decibels, from -60 on. */
export const levelOf = (analyser: AnalyserNode): number => {
  const samples = new Float32Array(analyser.fftSize)
  analyser.getFloatTimeDomainData(samples)
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length
  return Math.round(Math.min(100, Math.max(0, (100 * (10 * Math.log10(power + 1e-12) + 60)) / 60)))
}
