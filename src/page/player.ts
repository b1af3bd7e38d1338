import { hearPlayer } from "./sound.ts"

/** A reply that is playing. */
export interface Playback {
  /** Appends bytes of one continuous MP3. */
  readonly push: (bytes: Uint8Array<ArrayBuffer>) => void
  /** The reply has no more bytes. */
  readonly end: () => void
  readonly stop: () => void
}

export interface PlaybackEvents {
  /** Playback has started. */
  readonly onSounding: () => void
  /** Playback has ended or was stopped. */
  readonly onOver: () => void
  /** The browser needs a tap first. */
  readonly onBlocked: () => void
}

const type = "audio/mpeg"

interface SourceClass {
  new (): MediaSource
  isTypeSupported: (type: string) => boolean
}

const isSourceClass = (value: unknown): value is SourceClass => typeof value === "function"

/** iPhones have ManagedMediaSource only. Without either, a reply plays when it is complete. */
const sourceClass = (): SourceClass | undefined =>
  ["MediaSource", "ManagedMediaSource"]
    .map((name): unknown => Reflect.get(globalThis, name))
    .filter(isSourceClass)
    .find((each) => each.isTypeSupported(type))

/** Feeds a media source, which accepts one buffer at a time. */
const makeFeed = (source: MediaSource, onReady: () => void) => {
  const waiting: Array<Uint8Array<ArrayBuffer>> = []
  let buffer: SourceBuffer | undefined
  let isWhole = false
  const feed = () => {
    if (buffer === undefined || buffer.updating || source.readyState !== "open") return
    const next = waiting.shift()
    if (next !== undefined) buffer.appendBuffer(next)
    else if (isWhole) source.endOfStream()
  }
  source.addEventListener(
    "sourceopen",
    () => {
      // Stopped while the event was queued.
      if (source.readyState !== "open") return
      buffer = source.addSourceBuffer(type)
      buffer.addEventListener("updateend", () => {
        onReady()
        feed()
      })
      feed()
    },
    { once: true },
  )
  return {
    push: (bytes: Uint8Array<ArrayBuffer>) => {
      waiting.push(bytes)
      feed()
    },
    end: () => {
      isWhole = true
      feed()
    },
  }
}

/** Stops the sound that has the player. */
let stopCurrent = () => {}

/** Gives the player to a new sound, and stops the one before. */
const takePlayer = (player: HTMLAudioElement, events: PlaybackEvents) => {
  stopCurrent()
  const ends = new AbortController()
  let isOver = false
  let hasBegun = false
  let url = ""

  const over = () => {
    if (isOver) return
    isOver = true
    ends.abort()
    player.pause()
    player.removeAttribute("src")
    player.load()
    URL.revokeObjectURL(url)
    events.onOver()
  }
  const begin = () => {
    if (hasBegun || isOver) return
    hasBegun = true
    hearPlayer(player)
    player.play().catch((error: unknown) => {
      if (isOver || (error instanceof Error && error.name === "AbortError")) return
      events.onBlocked()
      over()
    })
  }
  const attach = (object: MediaSource | Blob) => {
    url = URL.createObjectURL(object)
    player.src = url
  }
  player.addEventListener("playing", events.onSounding, { signal: ends.signal })
  player.addEventListener("ended", over, { signal: ends.signal })
  player.addEventListener("error", over, { signal: ends.signal })
  stopCurrent = over
  return { attach, begin, over, isOver: () => isOver }
}

/** Stops the previous sound, and plays a file. Returns what stops it. */
export const playWhole = (player: HTMLAudioElement, sound: Blob, events: PlaybackEvents): (() => void) => {
  const { attach, begin, over } = takePlayer(player, events)
  attach(sound)
  begin()
  return over
}

/** Stops the previous sound and plays this reply, while its bytes arrive if the browser can. */
export const play = (player: HTMLAudioElement, events: PlaybackEvents): Playback => {
  const { attach, begin, over, isOver } = takePlayer(player, events)
  const Source = sourceClass()
  const parts: Array<Uint8Array<ArrayBuffer>> = []
  let feed = {
    push: (bytes: Uint8Array<ArrayBuffer>) => {
      parts.push(bytes)
    },
    end: () => {
      attach(new Blob(parts, { type }))
      begin()
    },
  }
  if (Source !== undefined) {
    const source = new Source()
    // Safari opens a managed source only if remote playback is off.
    player.disableRemotePlayback = true
    feed = makeFeed(source, begin)
    attach(source)
  }

  let isEmpty = true
  return {
    push: (bytes) => {
      if (isOver()) return
      isEmpty = false
      feed.push(bytes)
    },
    end: () => {
      if (isOver()) return
      if (isEmpty) over()
      else feed.end()
    },
    stop: over,
  }
}
