/** The page: the signed-in user, the list of conversations, and the open conversation. */
import { type Client, makeClient, type Session, type Turn } from "../client/client.ts"
import { makeAgentChoice } from "./agent-choice.ts"
import { makeAgentsDialog, operatorsAgent } from "./agents.ts"
import { makeConversation } from "./conversation.ts"
import { makeDisplay } from "./display.ts"
import { button, byId, make } from "./dom.ts"
import { makeReplay } from "./replay.ts"
import { makeSessionList } from "./session-list.ts"
import { type Account, baseUrl, copyText, forgetKey, watchSignIn } from "./sign-in.ts"
import { makeUsageDialog } from "./usage.ts"
import { makeVoice } from "./voice.ts"

const app = byId("app", HTMLElement)
const title = byId("title", HTMLElement)
const engines = byId("engines", HTMLElement)
const newTitle = "New conversation"
/** In characters. The service accepts up to 200. */
const maxTitleLength = 60

let account: Account | undefined
let client: Client = makeClient({ baseUrl })

/** Plays every reply: iPhones allow sound only from the element that a tap has unlocked. */
const player = new Audio()
const display = makeDisplay()
const replay = makeReplay({ display, player, onOver: () => voice.show() })
const conversation = makeConversation(display.fail)
const isShown = () => !app.hidden

const open = async (session: Session | undefined) => {
  voice.stop()
  display.clearNotice()
  title.textContent = session === undefined ? newTitle : (session.title ?? "Untitled")
  choice.show(session?.agentId ?? operatorsAgent)
  sessions.mark(session?.id)
  await conversation.open(client, session?.id)
  if (session?.expired) {
    display.notice({ what: "This conversation has ended.", next: "Speaking begins a new one." })
  }
}

const sessions = makeSessionList(() => client, {
  onOpen: (session) => open(session).catch(display.fail),
  onDeleted: (id) => {
    if (id === conversation.sessionId()) open(undefined).catch(display.fail)
  },
  onFailure: display.fail,
})

/** The next turn has another agent. A hands-free connection keeps its own, so it ends. */
const choice = makeAgentChoice((agentId) => {
  voice.stop()
  const id = conversation.sessionId()
  if (id !== undefined) client.sessions.update(id, { agentId }).catch(display.fail)
})

const agents = makeAgentsDialog(() => client, {
  onChanged: (all) => choice.offer(all),
  onTry: (id) => {
    open(undefined)
      .then(() => {
        choice.show(id)
        sessions.closeSide()
        button("talk").focus()
      })
      .catch(display.fail)
  },
  onFailure: display.fail,
})

const usage = makeUsageDialog(() => client, display.fail)

/** Gives a conversation without a title the first words of its first turn. */
const nameSession = async ({ sessionId, transcript }: Pick<Turn, "sessionId" | "transcript">) => {
  const session = await client.sessions.get(sessionId)
  const words =
    transcript.length > maxTitleLength ? `${transcript.slice(0, maxTitleLength).trimEnd()}…` : transcript
  const name = session.title ?? (await client.sessions.update(sessionId, { title: words })).title
  if (conversation.sessionId() === sessionId) title.textContent = name
  sessions.mark(conversation.sessionId())
  await sessions.refresh()
}

const signOut = () => {
  voice.stop()
  forgetKey()
  account = undefined
  client = makeClient({ baseUrl })
  app.hidden = true
  sessions.close()
  agents.close()
  usage.close()
  signIn.show()
}

const voice = makeVoice(
  () => ({
    client,
    conversation,
    display,
    player,
    replay,
    agentId: choice.id(),
    // The turn is complete: a failed title or list is not its failure.
    onTurn: (turn) => nameSession(turn).catch(() => undefined),
    onSignIn: signOut,
  }),
  isShown,
)

const stageNames = { stt: "hears", llm: "answers", tts: "speaks" } as const

/** Shows which engines serve the stages that run on this machine. The way to better ones is shown on demand. */
const showEngines = async () => {
  const { checks } = await client.ready()
  const offline = (["stt", "llm", "tts"] as const).filter((stage) => checks[stage].engine === "offline")
  engines.hidden = offline.length === 0
  const plainNames = new Map([
    ["talker", "a built-in talker"],
    ["none", "nothing"],
  ])
  const nameOf = (model = "an offline engine") => plainNames.get(model) ?? model
  const list = offline.map((stage) => `${nameOf(checks[stage].model)} ${stageNames[stage]}`).join(", ")
  const where = offline.length === 3 ? "On this machine without a key" : "On this machine"
  const advice = offline.flatMap((stage) => checks[stage].advice ?? [])
  byId("engines-now", HTMLElement).textContent = `${where}: ${list}.`
  const sentences = [...advice, "For OpenAI's engines, set OPENAI_API_KEY."]
  // Commands are between backticks.
  const parts = sentences.join(" ").split("`")
  byId("engines-how", HTMLElement).replaceChildren(
    ...parts.map((text, at) => (at % 2 === 1 ? make("code", {}, text) : text)),
  )
}

const signIn = watchSignIn((entered) => {
  account = entered
  client = makeClient({ baseUrl, apiKey: entered.apiKey })
  byId("who", HTMLElement).textContent = entered.email
  app.hidden = false
  open(undefined).catch(display.fail)
  sessions.refresh().catch(display.fail)
  agents.refresh().catch(display.fail)
  showEngines().catch(() => undefined)
  button("talk").focus()
})

button("sign-out").addEventListener("click", signOut)
button("copy-key").addEventListener("click", () => copyText(account?.apiKey ?? "", button("copy-key")))
// The browser releases the microphone. This cancels the turn, whose reply nobody hears.
window.addEventListener("pagehide", voice.stop)
