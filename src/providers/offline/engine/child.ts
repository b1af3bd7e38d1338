/** The process of an engine. It loads native code that a damaged file aborts, so the service does not. */
import { toSamples } from "../../../audio/pcm.ts"
import { makeHear, type SpeechModel } from "./hear.ts"
import { loadMoonshine, loadTransducer, loadWhisper } from "./recognizers.ts"
import { type Files, type Load, serveEngine } from "./serve.ts"
import { loadPocket, loadSupertonic, type Speak } from "./speak.ts"

const recognizer =
  (load: (files: Files) => Promise<SpeechModel>): Load =>
  async (files) => {
    const hear = await makeHear(files("detector"), await load(files))
    return async (bytes, { language }, signal, onProgress) =>
      new TextEncoder().encode(await hear(toSamples(bytes), language, signal, () => onProgress()))
  }

const voice =
  (load: (files: Files, recordings: ReadonlyArray<string>) => Promise<Speak>): Load =>
  async (files, recordings) => {
    const speak = await load(files, recordings)
    return async (bytes, options, signal, onProgress) => {
      await speak(new TextDecoder().decode(bytes), options, signal, onProgress)
      return new Uint8Array()
    }
  }

await serveEngine({
  moonshine: recognizer(loadMoonshine),
  transducer: recognizer(loadTransducer),
  whisper: recognizer(loadWhisper),
  supertonic: voice(loadSupertonic),
  pocket: voice(loadPocket),
})
