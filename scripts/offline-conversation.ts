/** What the recording and the pictures of the documentation show: a conversation with a service without a key. */
import { linkModels } from "./bench/engines.ts"
import { type Service, startService } from "./bench/programs.ts"

/** What the built-in talker has rules for. */
export const questions = ["Hello, my name is Peter.", "What is my name?", "What did I just say?"] as const

/** A service with the engines of the set-up, whatever else this machine has. */
export const startOffline = async (): Promise<Service> => {
  await linkModels()
  return startService("", {
    OPENAI_API_KEY: "",
    OPENAI_BASE_URL: "",
    OFFLINE_ENGINES: "on",
    OLLAMA: "off",
    STT_MODEL: "moonshine-tiny-en",
    TTS_MODEL: "flite",
  })
}

/** Runs a program. Rejects if it fails. */
export const run = async (...command: ReadonlyArray<string>): Promise<void> => {
  const child = Bun.spawn([...command], { stdio: ["ignore", "inherit", "inherit"] })
  if ((await child.exited) !== 0) throw new Error(`${command[0]} failed.`)
}

/** Writes a question as a WAV, in the voice of flite's man. */
export const ask = (question: string, path: string): Promise<void> =>
  run("flite", "-voice", "rms", "-t", question, "-o", path)
