import type { Client, Session } from "../client/client.ts"
import { confirmDelete } from "./confirm.ts"
import { button, byId, icon, make } from "./dom.ts"

/** Sessions per page. */
const pageSize = 50

export interface SessionListEvents {
  /** Undefined for a new conversation. */
  readonly onOpen: (session: Session | undefined) => void
  readonly onDeleted: (id: string) => void
  readonly onFailure: (error: unknown) => void
}

export interface SessionList {
  /** Reads the list again. */
  readonly refresh: () => Promise<void>
  /** Marks the open session. */
  readonly mark: (sessionId: string | undefined) => void
  /** On small screens, where the list covers the conversation. */
  readonly closeSide: () => void
  readonly close: () => void
}

const bin = "M5 7h14M10 7V5h4v2M7 7l1 12h8l1-12M10.5 10.5v5M13.5 10.5v5"
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" })

/** "2 hours ago". */
const ago = (time: string): string => {
  const minutes = (Date.parse(time) - Date.now()) / 60_000
  if (minutes > -1) return "just now"
  if (minutes > -60) return relative.format(Math.round(minutes), "minute")
  if (minutes > -24 * 60) return relative.format(Math.round(minutes / 60), "hour")
  return relative.format(Math.round(minutes / 60 / 24), "day")
}

const nameOf = ({ title }: Session) => title ?? "Untitled"

/** Asks before deleting. */
const confirm = (session: Session) =>
  confirmDelete(
    "Delete this conversation?",
    `“${nameOf(session)}” and all of its messages will be deleted for good.`,
  )

/** The list of conversations. A drawer on small screens. */
export const makeSessionList = (client: () => Client, events: SessionListEvents): SessionList => {
  const { onOpen, onDeleted, onFailure } = events
  const list = byId("sessions", HTMLUListElement)
  const search = byId("search", HTMLInputElement)
  const empty = byId("no-sessions", HTMLElement)
  const side = byId("side", HTMLElement)
  const veil = byId("veil", HTMLElement)
  const opener = button("open-side")
  const more = button("more-sessions")
  let sessions: ReadonlyArray<Session> = []
  let cursor: string | null = null
  let marked: string | undefined

  const showSide = (isOpen: boolean) => {
    const wasOpen = side.dataset.open !== undefined
    if (isOpen) side.dataset.open = ""
    else delete side.dataset.open
    veil.hidden = !isOpen
    opener.setAttribute("aria-expanded", `${isOpen}`)
    if (isOpen) button("close-side").focus()
    else if (wasOpen && side.contains(document.activeElement)) opener.focus()
  }

  const remove = async (session: Session) => {
    if (!(await confirm(session))) return
    await client().sessions.delete(session.id)
    sessions = sessions.filter(({ id }) => id !== session.id)
    show()
    search.focus()
    onDeleted(session.id)
  }

  const item = (session: Session) => {
    const name = nameOf(session)
    const open = make(
      "button",
      { type: "button", class: "session", ...(session.id === marked ? { "aria-current": "true" } : {}) },
      make("span", { class: "name" }, name),
      make("time", { datetime: session.lastActivityAt }, ago(session.lastActivityAt)),
    )
    const drop = make(
      "button",
      { type: "button", class: "icon drop-session", "aria-label": `Delete “${name}”` },
      icon(bin),
    )
    open.addEventListener("click", () => {
      showSide(false)
      onOpen(session)
    })
    drop.addEventListener("click", () => remove(session).catch(onFailure))
    return make("li", {}, open, drop)
  }

  const show = () => {
    const wanted = search.value.trim().toLowerCase()
    const found = sessions.filter((each) => nameOf(each).toLowerCase().includes(wanted))
    list.replaceChildren(...found.map(item))
    empty.hidden = found.length > 0
    empty.textContent = wanted === "" ? "Nothing here yet." : "Nothing by that name."
    more.hidden = cursor === null
  }

  const read = async (from: string | null) => {
    const page = await client().sessions.list({ limit: pageSize, ...(from === null ? {} : { cursor: from }) })
    sessions = from === null ? page.sessions : [...sessions, ...page.sessions]
    cursor = page.nextCursor
    show()
  }

  search.addEventListener("input", show)
  more.addEventListener("click", () => read(cursor).catch(onFailure))
  button("new-session").addEventListener("click", () => {
    showSide(false)
    onOpen(undefined)
  })
  opener.addEventListener("click", () => showSide(side.dataset.open === undefined))
  button("close-side").addEventListener("click", () => showSide(false))
  veil.addEventListener("click", () => showSide(false))
  side.addEventListener("keydown", ({ key }) => {
    if (key === "Escape") showSide(false)
  })

  return {
    refresh: () => read(null),
    mark: (id) => {
      marked = id
      show()
    },
    closeSide: () => showSide(false),
    close: () => {
      sessions = []
      cursor = null
      search.value = ""
      show()
      showSide(false)
    },
  }
}
