import { hearPlayer } from "./sound.ts"

/** A reply on its way to the ear. */
export interface Playback {
  /** The next bytes of one continuous MP3. */
  readonly push: (bytes: Uint8Array<ArrayBuffer>) => void
  /** No more will come. */
  readonly end: () => void
  readonly stop: () => void
}

export interface PlaybackEvents {
  /** Sound comes out from now on. */
  readonly onSounding: () => void
  /** All was heard, or it was stopped. */
  readonly onOver: () => void
  /** The browser wants a tap first. */
  readonly onBlocked: () => void
}

const type = "audio/mpeg"

interface SourceClass {
  new (): MediaSource
  isTypeSupported: (type: string) => boolean
}

const isSourceClass = (value: unknown): value is SourceClass => typeof value === "function"

/** Safari on phones has the managed one alone; where there is neither, a reply is heard once it is whole. */
const sourceClass = (): SourceClass | undefined =>
  ["MediaSource", "ManagedMediaSource"]
    .map((name): unknown => Reflect.get(globalThis, name))
    .filter(isSourceClass)
    .find((each) => each.isTypeSupported(type))

/** Feeds a media source piece by piece: it takes one at a time. */
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
      // Stopped before it was opened: the event was under way already.
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

let current: Playback | undefined

/** Plays on the page's one element, as the bytes come where the browser can; stops what played before. */
export const play = (player: HTMLAudioElement, events: PlaybackEvents): Playback => {
  current?.stop()
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
    // Without this Safari opens no managed source: the reply could be sent to a television.
    player.disableRemotePlayback = true
    feed = makeFeed(source, begin)
    attach(source)
  }

  let isEmpty = true
  const playback: Playback = {
    push: (bytes) => {
      if (isOver) return
      isEmpty = false
      feed.push(bytes)
    },
    end: () => {
      if (isOver) return
      if (isEmpty) over()
      else feed.end()
    },
    stop: over,
  }
  current = playback
  return playback
}
