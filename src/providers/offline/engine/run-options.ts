/** What a run of a model needs to know, besides its bytes. */
export interface RunOptions {
  /** ISO 639-1. Empty: the recognizer detects it. */
  readonly language?: string
  /** The number of a voice. */
  readonly speaker?: number
}

/** The note of a `run`: "LANGUAGE SPEAKER". */
export const encodeOptions = ({ language = "", speaker = 0 }: RunOptions): string => `${language} ${speaker}`

export const decodeOptions = (note: string): Required<RunOptions> => {
  const [language = "", speaker = "0"] = note.split(" ")
  return { language, speaker: Number(speaker) }
}
