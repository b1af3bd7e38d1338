import { levelOf } from "./sound.ts"

/** Bars around the button, symmetric left and right. */
const bars = 72
/** Radii in canvas pixels, two for each CSS pixel. */
const inner = 112
const longest = 58
/** Bands 2 to 38 of 187 Hz each: 370 Hz to 7 kHz, the range that distinguishes voices. */
const firstBand = 2

const isCalm = matchMedia("(prefers-reduced-motion: reduce)")

export interface Ring {
  /** Follows a sound until `rest`. `onLevel` receives 0 to 100 with every frame. */
  readonly follow: (analyser: AnalyserNode, onLevel?: (level: number) => void) => void
  readonly rest: () => void
}

/** The ring of bars around the talk button. Shows the level of the microphone or of the reply. */
export const makeRing = (canvas: HTMLCanvasElement): Ring => {
  const pen = canvas.getContext("2d")
  let frame = 0
  let heights = new Float32Array(bars)

  const paint = () => {
    if (pen === null) return
    const { width, height } = canvas
    pen.clearRect(0, 0, width, height)
    pen.strokeStyle = getComputedStyle(canvas).color
    pen.lineCap = "round"
    pen.lineWidth = 5
    for (const [at, share] of heights.entries()) {
      const angle = ((at + 0.5) / bars) * 2 * Math.PI - Math.PI / 2
      const end = inner + 3 + longest * share
      pen.globalAlpha = 0.22 + 0.78 * share
      pen.beginPath()
      pen.moveTo(width / 2 + inner * Math.cos(angle), height / 2 + inner * Math.sin(angle))
      pen.lineTo(width / 2 + end * Math.cos(angle), height / 2 + end * Math.sin(angle))
      pen.stroke()
    }
  }

  const rest = () => {
    cancelAnimationFrame(frame)
    heights = new Float32Array(bars)
    paint()
  }

  const follow: Ring["follow"] = (analyser, onLevel) => {
    cancelAnimationFrame(frame)
    const bands = new Uint8Array(analyser.frequencyBinCount)
    const step = () => {
      const level = levelOf(analyser)
      onLevel?.(level)
      analyser.getByteFrequencyData(bands)
      heights = heights.map((before, at) => {
        // Low frequencies at the top, high ones at the bottom, mirrored.
        const fromTop = Math.min(at, bars - 1 - at)
        const heard = isCalm.matches ? level / 140 : (bands[firstBand + fromTop] ?? 0) / 255
        // Rises at once, falls slowly.
        return Math.max(heard ** 1.4, before * 0.86)
      })
      paint()
      frame = requestAnimationFrame(step)
    }
    step()
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint)
  rest()
  return { follow, rest }
}
