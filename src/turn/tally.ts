import type { Usage } from "../schema.ts"

/** What a turn came to so far, whatever its end will be: its stages write here as they go. */
export interface Tally {
  transcript: string
  /** As the model has written it so far. */
  response: string
  /** Of the reply, in the order of its being handed on; where it is given at the end, or kept for a retry. */
  speech: Array<Uint8Array>
  /** No turn ahead of it in its session runs any more. */
  isFirst: boolean
  /** In ms since 1970; Infinity until the decoding has a place. */
  decodingSince: number
  /** Some of the reply is there, as it is listened to. */
  isSounding: boolean
  /** Whether any audio was handed to a listener who hears it as it comes. */
  isHeard: boolean
  /** How much of the response was wholly handed on as speech, in UTF-16 units. */
  heardTo: number
  /** Whether it is stored. */
  isSaved: boolean
  readonly usage: { -readonly [part in keyof Usage]: Usage[part] }
}

export const makeTally = (): Tally => ({
  transcript: "",
  response: "",
  speech: [],
  isFirst: false,
  decodingSince: Number.POSITIVE_INFINITY,
  isSounding: false,
  isHeard: false,
  heardTo: 0,
  isSaved: false,
  usage: { audioSeconds: 0, inputTokens: 0, outputTokens: 0, charactersSpoken: 0 },
})
