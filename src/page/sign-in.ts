import { makeClient, VoiceAgentError } from "../client/client.ts"
import { button, byId } from "./dom.ts"
import { problemOf } from "./problems.ts"

/** In sessionStorage: this tab only, until it closes. */
const slot = "voice-agent-key"

export interface Account {
  readonly apiKey: string
  readonly email: string
}

/** The service's address: the page's folder, so that a proxy can serve it under a path. */
export const baseUrl = new URL(".", location.href).href

export const forgetKey = (): void => sessionStorage.removeItem(slot)

/** Checks a key and stores it. */
const checkKey = async (apiKey: string): Promise<Account> => {
  const { email } = await makeClient({ baseUrl, apiKey }).login()
  sessionStorage.setItem(slot, apiKey)
  return { apiKey, email }
}

/** Copies a text, and shows the result on the button. */
export const copyText = async (text: string, by: HTMLButtonElement): Promise<void> => {
  const name = by.textContent
  const said = await (navigator.clipboard?.writeText(text) ?? Promise.reject()).then(
    () => "Copied",
    () => "Not allowed here",
  )
  by.textContent = said
  setTimeout(() => {
    by.textContent = name
  }, 2000)
}

/** Shows a new key. Resolves when the person closes the dialog. */
const showNewKey = (apiKey: string): Promise<void> => {
  const dialog = byId("new-key", HTMLDialogElement)
  byId("new-key-text", HTMLElement).textContent = apiKey
  dialog.showModal()
  const ends = new AbortController()
  const copy = button("copy-new-key")
  copy.addEventListener("click", () => copyText(apiKey, copy), { signal: ends.signal })
  button("keep-key").addEventListener("click", () => dialog.close(), { signal: ends.signal })
  return new Promise((resolve) => {
    const done = () => {
      ends.abort()
      byId("new-key-text", HTMLElement).textContent = ""
      resolve()
    }
    dialog.addEventListener("close", done, { signal: ends.signal })
  })
}

/** Shows the sign-in page. `onEnter` receives each account. */
export const watchSignIn = (onEnter: (account: Account) => void): { readonly show: () => void } => {
  const section = byId("sign-in", HTMLElement)
  const register = byId("register", HTMLFormElement)
  const login = byId("login", HTMLFormElement)
  const email = byId("email", HTMLInputElement)
  const key = byId("key", HTMLInputElement)
  const problem = byId("sign-in-problem", HTMLElement)

  const attempt = (form: HTMLFormElement, field: HTMLInputElement, way: () => Promise<Account>) => {
    form.addEventListener("submit", async (event) => {
      event.preventDefault()
      problem.textContent = ""
      if (!field.checkValidity()) {
        problem.textContent =
          field === email ? "Type an e-mail address, such as you@example.com." : "Paste a key first."
        field.focus()
        return
      }
      form.inert = true
      try {
        const account = await way()
        key.value = ""
        section.hidden = true
        onEnter(account)
      } catch (error) {
        const { what, next } = problemOf(error)
        problem.textContent = `${what} ${next}`
      } finally {
        form.inert = false
        if (!section.hidden) field.focus()
      }
    })
  }
  attempt(register, email, async () => {
    const address = email.value.trim()
    const { apiKey } = await makeClient({ baseUrl }).register(address)
    await showNewKey(apiKey)
    return checkKey(apiKey)
  })
  attempt(login, key, () => checkKey(key.value.trim()))

  const show = () => {
    section.hidden = false
    problem.textContent = ""
    email.focus()
  }
  const kept = sessionStorage.getItem(slot)
  if (kept === null) show()
  else {
    checkKey(kept).then(onEnter, (error: unknown) => {
      // Keep the key while the service is unavailable: the next reload tries it again.
      if (error instanceof VoiceAgentError && error.status === 401) forgetKey()
      show()
      problem.textContent = problemOf(error).what
    })
  }
  return { show }
}
