/** The address of capture.worklet.ts, which the service puts into index.html: the content security policy forbids blob:. */
const workletUrl = () =>
  document.querySelector<HTMLMetaElement>('meta[name="capture-worklet"]')?.content ?? ""

let loaded: Promise<void> | undefined

/** Loads the worklet once. A failed load is tried again with the next call. */
const load = (context: AudioContext) => {
  loaded ??= context.audioWorklet.addModule(workletUrl()).catch((error: unknown) => {
    loaded = undefined
    throw error
  })
  return loaded
}

/** The microphone's samples. */
export interface Capture {
  /** Takes the samples of this stream from now on. */
  readonly use: (stream: MediaStream) => void
  readonly stop: () => void
}

/** Passes on the samples of a microphone: 24 kHz, mono, 40 ms at a time. */
export const startCapture = async (
  context: AudioContext,
  onSamples: (samples: Int16Array) => void,
): Promise<Capture> => {
  await load(context)
  const node = new AudioWorkletNode(context, "capture", { channelCount: 1, channelCountMode: "explicit" })
  node.port.onmessage = ({ data }: MessageEvent<unknown>) => {
    if (data instanceof Int16Array) onSamples(data)
  }
  // It writes silence. Safari runs only what leads to the output.
  node.connect(context.destination)
  let source: MediaStreamAudioSourceNode | undefined
  return {
    use: (stream) => {
      source?.disconnect()
      source = context.createMediaStreamSource(stream)
      source.connect(node)
    },
    stop: () => {
      source?.disconnect()
      node.disconnect()
      node.port.onmessage = null
      node.port.postMessage("stop")
    },
  }
}
