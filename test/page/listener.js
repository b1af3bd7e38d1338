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
  }, 20)
  return source
}

document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
  console.error(`policy violated: ${violatedDirective} by ${blockedURI}`)
})
