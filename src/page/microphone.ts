import { type Problem, ProblemError } from "./problems.ts"

const orFile = "You can also send a recording from a file."

const problems = {
  insecure: {
    what: "This browser does not allow the microphone on a plain http:// address.",
    next: `Open the page at an https:// address or at http://localhost. ${orFile}`,
  },
  refused: {
    what: "The microphone is blocked.",
    next: `Allow it in the site’s settings, beside the address, then try again. ${orFile}`,
  },
  absent: { what: "No microphone was found.", next: `Connect one, then try again. ${orFile}` },
  busy: {
    what: "Another program uses the microphone.",
    next: `Close it, then try again. ${orFile}`,
  },
  noRecorder: { what: "This browser can’t record sound.", next: `Use a newer browser. ${orFile}` },
} as const satisfies Record<string, Problem>

/** The reason for a missing recording. */
class MicrophoneProblem extends ProblemError {
  constructor(kind: keyof typeof problems, cause?: unknown) {
    super(problems[kind], cause)
  }
}

/** By the name of the DOMException. */
const kinds: Readonly<Record<string, keyof typeof problems>> = {
  NotAllowedError: "refused",
  SecurityError: "insecure",
  NotFoundError: "absent",
  OverconstrainedError: "absent",
  NotReadableError: "busy",
  AbortError: "busy",
}

/** Chromium and Firefox write WebM, Safari MP4. */
const types = ["audio/webm;codecs=opus", "audio/mp4", "audio/ogg;codecs=opus"]

/** iPhones play through the earpiece while the microphone is open. Only they have this class alone. */
const isPhoneOfApple = "ManagedMediaSource" in globalThis && !("MediaSource" in globalThis)

/** How long the microphone stays open after a turn. Opening it takes a moment, in which the first word is lost. */
const warmMs = isPhoneOfApple ? 0 : 20_000

const constraints = {
  audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
}

let open: MediaStream | undefined
let closing: ReturnType<typeof setTimeout> | undefined

const isLive = (stream: MediaStream | undefined): stream is MediaStream =>
  stream?.getAudioTracks().some(({ readyState }) => readyState === "live") ?? false

const close = (stream: MediaStream | undefined) => {
  for (const track of stream?.getTracks() ?? []) track.stop()
}

/**
 * Opens the microphone. `needs`: the class that handles its sound. `again`: also if it is open, because the device has
 * changed. Rejects with a MicrophoneProblem.
 */
export const openMicrophone = async (
  needs: "MediaRecorder" | "AudioWorkletNode",
  again = false,
): Promise<MediaStream> => {
  clearTimeout(closing)
  // Missing on an insecure address, although its type says otherwise.
  const devices: MediaDevices | undefined = navigator.mediaDevices
  if (devices?.getUserMedia === undefined) throw new MicrophoneProblem("insecure")
  if (!(needs in globalThis)) throw new MicrophoneProblem("noRecorder")
  if (!again && isLive(open)) return open
  try {
    const before = open
    open = await devices.getUserMedia(constraints)
    close(before)
    return open
  } catch (error) {
    const name = error instanceof Error ? error.name : ""
    throw new MicrophoneProblem(kinds[name] ?? "absent", error)
  }
}

/** Closes the microphone, unless it opens again within `warmMs`. */
export const restMicrophone = (): void => {
  clearTimeout(closing)
  closing = setTimeout(() => {
    close(open)
    open = undefined
  }, warmMs)
}

export interface Recording {
  /** Stops, and returns the whole recording. */
  readonly end: () => Promise<Blob>
  readonly drop: () => void
}

/** Starts to record. */
export const record = (stream: MediaStream): Recording => {
  const type = types.find((each) => MediaRecorder.isTypeSupported(each))
  const recorder = new MediaRecorder(stream, type === undefined ? {} : { mimeType: type })
  const parts: Array<Blob> = []
  recorder.ondataavailable = ({ data }) => parts.push(data)
  const stopped = new Promise<void>((resolve, reject) => {
    recorder.onstop = () => resolve()
    recorder.onerror = () => reject(new MicrophoneProblem("busy"))
  })
  // `drop` does not wait for it.
  stopped.catch(() => undefined)
  recorder.start()
  const stop = () => {
    if (recorder.state !== "inactive") recorder.stop()
  }
  return {
    end: async () => {
      stop()
      await stopped
      return new Blob(parts, { type: recorder.mimeType })
    },
    drop: stop,
  }
}
