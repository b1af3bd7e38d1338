import type { Client, Message } from "../client/client.ts"
import { button, byId } from "./dom.ts"
import { latencyPlot } from "./plot.ts"
import { makeTurnView, type TurnView } from "./turn-view.ts"

/** Messages per page of history: 25 turns. */
const pageSize = 50

/** The turns of the open session, oldest first. */
export interface Conversation {
  /** Undefined before the first turn of a new session. */
  readonly sessionId: () => string | undefined
  /** Shows a session's history, or nothing for a new session. Rejects with the client's error. */
  readonly open: (client: Client, sessionId: string | undefined) => Promise<void>
  /** Sets the running turn's session, without reading its history. */
  readonly join: (sessionId: string) => void
  readonly begin: () => TurnView
  readonly remove: (view: TurnView) => void
  /** Adds a turn's time to the first sound, in ms. */
  readonly timed: (firstAudioMs: number) => void
}

/** Groups the messages of each turn. */
const turnsOf = (messages: ReadonlyArray<Message>) => [
  ...Map.groupBy(messages, ({ turnId }) => turnId).values(),
]

const viewOf = (messages: ReadonlyArray<Message>) => {
  const view = makeTurnView()
  view.says("")
  for (const { role, content, interrupted } of messages) {
    if (role === "user") view.says(content)
    if (role === "assistant") view.adds(content)
    if (interrupted) queueMicrotask(view.interrupts)
  }
  view.completes(undefined, undefined)
  return view.element
}

export const makeConversation = (onFailure: (error: unknown) => void): Conversation => {
  const log = byId("log", HTMLElement)
  const turns = byId("turns", HTMLElement)
  const welcome = byId("welcome", HTMLElement)
  const plot = byId("plot", HTMLElement)
  const earlier = button("earlier")
  /** In ms, by session. The API returns no timings for earlier turns, so a reload loses them. */
  const latencies = new Map<string, ReadonlyArray<number>>()
  let sessionId: string | undefined
  let oldest: string | undefined
  let reads = 0

  const toEnd = () => log.scrollTo({ top: log.scrollHeight })
  const showWelcome = () => {
    welcome.hidden = turns.childElementCount > 0
  }
  const showPlot = () => {
    const known = latencies.get(sessionId ?? "") ?? []
    plot.hidden = known.length === 0
    plot.replaceChildren(...(known.length === 0 ? [] : latencyPlot(known)))
  }
  // Follow the growing reply, unless the person has scrolled up.
  let isAtEnd = true
  // The keyboard can scroll it too.
  log.tabIndex = 0
  log.addEventListener("scroll", () => {
    isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60
  })
  new ResizeObserver(() => isAtEnd && toEnd()).observe(turns)

  const read = async (client: Client, id: string, before?: string) => {
    const mine = ++reads
    const messages = await client.sessions.messages(id, {
      limit: pageSize,
      ...(before === undefined ? {} : { before }),
    })
    if (mine !== reads) return
    turns.prepend(...turnsOf(messages).map(viewOf))
    oldest = messages[0]?.id
    earlier.hidden = messages.length < pageSize
    showWelcome()
  }
  let readEarlier: () => Promise<void> = async () => undefined
  earlier.addEventListener("click", () => {
    const height = log.scrollHeight
    readEarlier()
      .then(() => log.scrollBy({ top: log.scrollHeight - height }))
      .catch(onFailure)
  })

  return {
    sessionId: () => sessionId,
    open: async (client, id) => {
      sessionId = id
      reads += 1
      turns.replaceChildren()
      earlier.hidden = true
      showPlot()
      showWelcome()
      if (id === undefined) return
      welcome.hidden = true
      readEarlier = () => read(client, id, oldest)
      await read(client, id)
      toEnd()
    },
    join: (id) => {
      sessionId = id
      showPlot()
    },
    begin: () => {
      for (const each of turns.querySelectorAll("details[open]")) each.removeAttribute("open")
      const view = makeTurnView()
      turns.append(view.element)
      showWelcome()
      isAtEnd = true
      toEnd()
      return view
    },
    remove: ({ element }) => {
      element.remove()
      showWelcome()
    },
    timed: (firstAudioMs) => {
      const id = sessionId ?? ""
      latencies.set(id, [...(latencies.get(id) ?? []), firstAudioMs])
      showPlot()
    },
  }
}
