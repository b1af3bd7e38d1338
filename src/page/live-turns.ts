import type { ToolCall } from "../client/client.ts"
import { type LiveMoments, liveTimesOf, type TurnTimes } from "./waterfall-spans.ts"
import { wavOf } from "./wav.ts"

/** The parts of a TurnView that a hands-free turn uses. */
interface View {
  readonly waits: (text: string) => void
  readonly says: (transcript: string) => void
  readonly adds: (text: string) => void
  readonly calls: (call: Pick<ToolCall, "name" | "arguments">) => void
  readonly interrupts: () => void
  readonly completes: (times: TurnTimes | undefined, onPlay: (() => void) | undefined) => void
}

/** The parts of the Conversation that hands-free turns use. */
interface List<V extends View> {
  readonly begin: () => V
  readonly remove: (view: V) => void
  readonly timed: (firstAudioMs: number) => void
}

/** The turns of a hands-free conversation in the list. Items are named by their ids. */
export interface LiveTurns {
  /** The person has finished speaking. */
  readonly hears: (utterance: { readonly itemId: string }) => void
  /** Empty: there were no words. */
  readonly says: (itemId: string, transcript: string) => void
  readonly adds: (itemId: string, text: string) => void
  /** Audio of a reply arrives: 24 kHz mono. */
  readonly sounds: (itemId: string, samples: Int16Array<ArrayBuffer>) => void
  /** The newest reply calls a tool. */
  readonly calls: (call: ToolCall) => void
  /** `playedMs`: of the reply's audio. */
  readonly interrupts: (itemId: string, playedMs: number) => void
  readonly ends: (itemId: string | undefined, isComplete: boolean) => void
}

/** The audio of one reply. */
interface Speech {
  readonly itemId: string
  readonly samples: Array<Int16Array<ArrayBuffer>>
  /** Undefined unless it was interrupted. */
  playedMs: number | undefined
}

interface LiveTurn<V extends View> {
  readonly view: V
  /** In ms of `performance.now()`. */
  moments: Partial<LiveMoments>
  transcript: string
  /** Usually of one reply. After a noise, a second one continues the first. */
  speech: Array<Speech>
}

interface LiveTurnsOptions<V extends View> {
  readonly list: List<V>
  /** A person presses the button of a reply. Receives a WAV. */
  readonly onPlay: (sound: Blob) => void
  /** Receives the transcript of a turn whose reply is complete. */
  readonly onTurn: (transcript: string) => void
}

const samplesPerMs = 24

/** The first `ms` of some samples. */
const cut = (samples: ReadonlyArray<Int16Array<ArrayBuffer>>, ms: number) => {
  let left = Math.round(ms * samplesPerMs)
  return samples.map((each) => {
    const part = each.subarray(0, Math.max(0, left))
    left -= each.length
    return part
  })
}

/** What was heard of the turn's replies, and all of the last one. */
const soundOf = ({ speech }: Pick<LiveTurn<View>, "speech">): Blob | undefined => {
  const parts = speech.flatMap(({ samples, playedMs }, index) =>
    index === speech.length - 1 || playedMs === undefined ? samples : cut(samples, playedMs),
  )
  return parts.length === 0 ? undefined : wavOf(parts)
}

const timesOf = ({ moments }: Pick<LiveTurn<View>, "moments">) => {
  const { spoken, transcribed, firstText, firstAudio, lastAudio } = moments
  // Nobody asked for the reply, or it has no audio.
  if (spoken === undefined || firstAudio === undefined || lastAudio === undefined) return undefined
  return liveTimesOf({
    spoken,
    firstAudio,
    lastAudio,
    transcribed: transcribed ?? spoken,
    firstText: firstText ?? firstAudio,
  })
}

export const makeLiveTurns = <V extends View>({ list, onPlay, onTurn }: LiveTurnsOptions<V>): LiveTurns => {
  const utterances = new Map<string, LiveTurn<V>>()
  const replies = new Map<string, LiveTurn<V>>()
  /** The newest turn with words, which the next reply answers. */
  let last: LiveTurn<V> | undefined

  const begin = (moments: Partial<LiveMoments>): LiveTurn<V> => ({
    view: list.begin(),
    moments,
    transcript: "",
    speech: [],
  })

  /** For a reply that nobody asked for. */
  const beginWithoutWords = () => {
    const turn = begin({})
    turn.view.says("")
    return turn
  }

  /** A reply that continues after a noise belongs to the turn of the reply before. */
  const turnOf = (itemId: string) => {
    const known = replies.get(itemId)
    if (known !== undefined) return known
    last ??= beginWithoutWords()
    replies.set(itemId, last)
    return last
  }

  return {
    hears: ({ itemId }) => {
      const turn = begin({ spoken: performance.now() })
      turn.view.waits("Transcribing…")
      utterances.set(itemId, turn)
    },
    says: (itemId, transcript) => {
      const heard = utterances.get(itemId)
      utterances.delete(itemId)
      if (transcript === "") return heard === undefined ? undefined : list.remove(heard.view)
      const turn = heard ?? begin({})
      turn.view.says(transcript)
      turn.transcript = transcript
      turn.moments = { ...turn.moments, transcribed: performance.now() }
      // No reply continues it any more, and its button has its sound.
      if (last !== undefined) last.speech = []
      last = turn
    },
    adds: (itemId, text) => {
      const turn = turnOf(itemId)
      turn.moments = { ...turn.moments, firstText: turn.moments.firstText ?? performance.now() }
      turn.view.adds(text)
    },
    sounds: (itemId, samples) => {
      const turn = turnOf(itemId)
      const now = performance.now()
      const { spoken, firstAudio } = turn.moments
      if (firstAudio === undefined && spoken !== undefined) list.timed(now - spoken)
      turn.moments = { ...turn.moments, firstAudio: firstAudio ?? now, lastAudio: now }
      const known = turn.speech.find((each) => each.itemId === itemId)
      if (known === undefined) turn.speech.push({ itemId, samples: [samples], playedMs: undefined })
      else known.samples.push(samples)
    },
    calls: (call) => {
      last ??= beginWithoutWords()
      last.view.calls(call)
    },
    interrupts: (itemId, playedMs) => {
      const turn = replies.get(itemId)
      if (turn === undefined) return
      turn.view.interrupts()
      for (const each of turn.speech) if (each.itemId === itemId) each.playedMs = playedMs
    },
    ends: (itemId, isComplete) => {
      const turn = itemId === undefined ? last : replies.get(itemId)
      if (turn === undefined) return
      if (!isComplete && itemId !== undefined) turn.view.interrupts()
      const sound = soundOf(turn)
      turn.view.completes(
        isComplete ? timesOf(turn) : undefined,
        sound === undefined ? undefined : () => onPlay(sound),
      )
      if (isComplete && turn.transcript !== "") onTurn(turn.transcript)
    },
  }
}
