import { sampleRate } from "../../src/audio/pcm.ts"

/** Numbers from -1 to 1, the same for the same seed (Lehmer's generator). */
export const noiseOf = (seed: number) => {
  let state = seed * 7919 + 1
  return () => {
    state = (state * 48_271) % 2_147_483_647
    return (state / 2_147_483_647) * 2 - 1
  }
}

/** 16 kHz samples of a function of the time in seconds, from -1 to 1. */
const render = (seconds: number, at: (time: number) => number): Int16Array =>
  Int16Array.from({ length: seconds * sampleRate }, (_, index) =>
    Math.round(Math.max(-1, Math.min(1, at(index / sampleRate))) * 32_767),
  )

const sine = (hz: number, time: number) => Math.sin(2 * Math.PI * hz * time)

/** A major scale up and down, a note every 250 ms, with overtones that decay as those of a piano. */
const scale = [262, 294, 330, 349, 392, 440, 494, 523, 494, 440, 392, 349, 330, 294]

/** Sounds that are no speech, 6 s each. */
export const noSpeech = (): Readonly<Record<string, Int16Array>> => {
  const random = noiseOf(7)
  let brown = 0
  return {
    silence: render(6, () => 0),
    "an offset": render(6, () => 0.3),
    "quiet white noise": render(6, () => random() * 0.01),
    "loud white noise": render(6, () => random() * 0.3),
    "brown noise": render(6, () => {
      brown = brown * 0.98 + random() * 0.05
      return brown
    }),
    "mains hum": render(6, (time) => 0.2 * sine(50, time) + 0.1 * sine(150, time) + 0.05 * sine(250, time)),
    "a tone": render(6, (time) => 0.3 * sine(440, time)),
    clicks: render(6, (time) => (time % 0.7 < 0.002 ? random() * 0.9 : 0)),
    "a keyboard": render(6, (time) =>
      time % 0.18 < 0.03 ? random() * 0.3 * Math.exp(-(time % 0.18) * 150) : 0,
    ),
    "a cough": render(6, (time) => {
      const inside = time % 2
      return inside < 0.25 ? random() * 0.7 * Math.exp(-inside * 14) : 0
    }),
    music: render(6, (time) => {
      const hz = scale[Math.floor(time / 0.25) % scale.length] ?? 262
      const decay = Math.exp(-(time % 0.25) * 5)
      return 0.25 * decay * (sine(hz, time) + 0.5 * sine(2 * hz, time) + 0.3 * sine(3 * hz, time))
    }),
    chords: render(6, (time) => {
      const root = [131, 175, 196, 131][Math.floor(time / 1.5)] ?? 131
      return 0.12 * [1, 1.25, 1.5, 2, 3].reduce((sum, ratio) => sum + sine(root * ratio, time), 0)
    }),
  }
}
