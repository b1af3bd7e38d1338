// Runs in the page before its own code. `player` is what the page plays on, `loudest` the loudest sample that came out
// of it so far, 0 to 1: beside the page's own analyser, on the very same sound.
window.loudest = 0

const { play } = HTMLMediaElement.prototype
HTMLMediaElement.prototype.play = function () {
  window.player = this
  return play.call(this)
}

const { createMediaElementSource } = AudioContext.prototype
AudioContext.prototype.createMediaElementSource = function (element) {
  const source = createMediaElementSource.call(this, element)
  const analyser = this.createAnalyser()
  source.connect(analyser)
  const samples = new Float32Array(analyser.fftSize)
  setInterval(() => {
    analyser.getFloatTimeDomainData(samples)
    window.loudest = Math.max(window.loudest, ...samples.map(Math.abs))
    // The samples are those of the last 43 ms.
  }, 40)
  return source
}

// The ring is drawn 7 times a second instead of 60 times: its drawing takes a third of the CPU time of a turn.
const { requestAnimationFrame } = window
window.requestAnimationFrame = (draw) => setTimeout(() => requestAnimationFrame(draw), 130)
window.cancelAnimationFrame = clearTimeout

document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
  console.error(`policy violated: ${violatedDirective} by ${blockedURI}`)
})
