// Runs in the page before its own code: a microphone that says what a test lets it say, and a recording of all that comes
// out of the page. `microphone` and `recording` are for the test.
{
  const device = new AudioContext()
  const voice = new GainNode(device)
  let output = new MediaStreamAudioDestinationNode(device)
  voice.connect(output)
  let id = "built-in"
  let isPlugged = true

  navigator.mediaDevices.enumerateDevices = async () =>
    isPlugged ? [{ kind: "audioinput", deviceId: id, groupId: id, label: id }] : []

  navigator.mediaDevices.getUserMedia = async (constraints) => {
    window.microphone.asked.push(constraints.audio)
    if (device.state !== "running") await device.resume()
    if (!isPlugged) throw new DOMException("", "NotFoundError")
    return output.stream.clone()
  }

  const change = () => navigator.mediaDevices.dispatchEvent(new Event("devicechange"))

  window.microphone = {
    /** The constraints of each opening. */
    asked: [],
    /** Resolves when it was said. `wav`: base64. */
    say: async (wav) => {
      const bytes = Uint8Array.from(atob(wav), (character) => character.charCodeAt(0))
      const source = new AudioBufferSourceNode(device, { buffer: await device.decodeAudioData(bytes.buffer) })
      source.connect(voice)
      source.start()
      await new Promise((resolve) => {
        source.onended = resolve
      })
    },
    /** Another device takes over: the tracks of the one before fall silent. */
    replace: (name) => {
      voice.disconnect()
      output = new MediaStreamAudioDestinationNode(device)
      voice.connect(output)
      id = name
      isPlugged = true
      change()
    },
    unplug: () => {
      voice.disconnect()
      isPlugged = false
      change()
    },
  }

  // The page's own context is the one whose nodes lead to its output. Its graph has this node too: no sample is missed unless
  // the page hangs for 0.3 s. A worklet would need a file of the service, by its content security policy.
  const { connect } = AudioNode.prototype
  const blocks = []
  let tape
  const startTape = (context) => {
    const node = context.createScriptProcessor(16384, 1, 1)
    node.onaudioprocess = ({ inputBuffer }) =>
      blocks.push(Int16Array.from(inputBuffer.getChannelData(0), (sample) => Math.round(sample * 32767)))
    connect.call(node, context.destination)
    window.recording.context = context
    return node
  }
  AudioNode.prototype.connect = function (target, ...more) {
    if (target instanceof AudioDestinationNode && this.context !== device) {
      tape ??= startTape(this.context)
      connect.call(this, tape)
    }
    return connect.call(this, target, ...more)
  }

  window.recording = {
    /** All samples so far as 16-bit integers in base64, and their rate. */
    take: async () => {
      const url = await new Promise((resolve) => {
        const reader = new FileReader()
        reader.onload = () => resolve(reader.result)
        reader.readAsDataURL(new Blob(blocks.splice(0)))
      })
      return { base64: url.slice(url.indexOf(",") + 1), rate: window.recording.context.sampleRate }
    },
  }

  /** What a browser does to the timers of a tab in the background, and to its frames. */
  window.hideTab = () => {
    const { setTimeout, setInterval } = window
    window.setTimeout = (what, ms, ...more) => setTimeout(what, Math.max(1000, ms ?? 0), ...more)
    window.setInterval = (what, ms, ...more) => setInterval(what, Math.max(1000, ms ?? 0), ...more)
    window.requestAnimationFrame = () => 0
    Object.defineProperty(document, "hidden", { value: true })
    Object.defineProperty(document, "visibilityState", { value: "hidden" })
    document.dispatchEvent(new Event("visibilitychange"))
  }
}
