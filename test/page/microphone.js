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
      voice.disconnect(output)
      output = new MediaStreamAudioDestinationNode(device)
      voice.connect(output)
      id = name
      isPlugged = true
      change()
    },
    unplug: () => {
      voice.disconnect(output)
      isPlugged = false
      change()
    },
  }

  // The page's own context is the one whose nodes lead to its output.
  const { connect } = AudioNode.prototype
  let recorder
  const parts = []
  AudioNode.prototype.connect = function (target, ...more) {
    if (target instanceof AudioDestinationNode && this.context !== device) {
      if (recorder === undefined) {
        const tape = new MediaStreamAudioDestinationNode(this.context)
        window.recording.context = this.context
        window.recording.tape = tape
        recorder = new MediaRecorder(tape.stream, { mimeType: "audio/webm;codecs=pcm" })
        recorder.ondataavailable = ({ data }) => parts.push(data)
        recorder.start()
      }
      connect.call(this, window.recording.tape)
    }
    return connect.call(this, target, ...more)
  }

  window.recording = {
    /** The whole of it, as base64. */
    end: async () => {
      const over = new Promise((resolve) => {
        recorder.onstop = resolve
      })
      recorder.stop()
      await over
      const url = await new Promise((resolve) => {
        const reader = new FileReader()
        reader.onload = () => resolve(reader.result)
        reader.readAsDataURL(new Blob(parts))
      })
      return url.slice(url.indexOf(",") + 1)
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
