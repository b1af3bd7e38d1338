import { Schema } from "effect"
import { register } from "../programs.ts"

/** A user of the soak, with many visits. */
export interface Account {
  readonly key: string
  readonly email: string
  /** The session of the last saved turn. */
  sessionId: string | undefined
  /** The id of its agent, once one is made. */
  agent?: Promise<string>
  /** Ids of completed turns. */
  readonly answered: Set<string>
  visits: number
  /** Visits in progress. */
  openVisits: number
  isLeaving: boolean
}

/** After this many visits a user leaves, which bounds the data of one user. */
const visitsEach = 60

/** Registers a new user. */
export const openAccount = async (api: string): Promise<Account> => {
  const email = `soak-${crypto.randomUUID()}@example.com`
  return {
    key: await register(api, email),
    email,
    sessionId: undefined,
    answered: new Set(),
    visits: 0,
    openVisits: 0,
    isLeaving: false,
  }
}

/** The response to a request other than a turn. */
export interface Answered {
  readonly status: number
  readonly body: unknown
}

/** The longest response time, in ms: longer than all time-outs of a turn together. */
export const answerTimeoutMs = 120_000

/** Calls a JSON endpoint. Rejects if there is no response. */
export const call = async (
  api: string,
  key: string | undefined,
  method: string,
  path: string,
  body?: Readonly<Record<string, unknown>>,
  accept = "*/*",
): Promise<Answered> => {
  const answer = await fetch(`${api}${path}`, {
    method,
    headers: {
      // A kept-alive connection would count as a leak.
      connection: "close",
      accept,
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(answerTimeoutMs),
  })
  const text = await answer.text()
  return { status: answer.status, body: text === "" ? undefined : JSON.parse(text) }
}

/** Deletes an account with all of its data. Returns the status. */
export const closeAccount = async (api: string, { key, email }: Account): Promise<number> =>
  (await call(api, key, "DELETE", "/users/me", { email })).status

const Opened = Schema.Struct({ sessionId: Schema.UUID })

/** Opens a session. */
export const openSession = async (api: string, { key }: Account): Promise<string> =>
  Schema.decodeUnknownSync(Opened)((await call(api, key, "POST", "/sessions", {})).body).sessionId

/** Accounts that are used in rotation. After enough visits an account leaves; every second one deletes its data. */
export const makeAccounts = async (api: string, count: number) => {
  const all = await Promise.all(Array.from({ length: count }, () => openAccount(api)))
  /** Turns of accounts that left without deleting their data. */
  const answered = new Set<string>()
  const wrong: Array<string> = []
  let next = 0
  let left = 0

  const leave = async (account: Account) => {
    left += 1
    if (left % 2 === 0) {
      for (const id of account.answered) answered.add(id)
      return
    }
    const status = await closeAccount(api, account)
    if (status !== 204) wrong.push(`an account's end: ${status}`)
  }

  /** The next account. A new account replaces one with enough visits. */
  const choose = async (): Promise<Account> => {
    const place = next
    next = (next + 1) % all.length
    const found = all[place]
    if (found === undefined) throw new Error("There are no accounts.")
    if (found.visits < visitsEach) return found
    // A concurrent visit replaces it.
    if (found.isLeaving) return choose()
    found.isLeaving = true
    const fresh = await openAccount(api)
    all[place] = fresh
    if (found.openVisits === 0) await leave(found)
    return fresh
  }

  const use = async <A>(visit: (account: Account) => Promise<A>): Promise<A> => {
    const account = await choose()
    account.visits += 1
    account.openVisits += 1
    try {
      return await visit(account)
    } finally {
      account.openVisits -= 1
      if (account.openVisits === 0 && !all.includes(account)) await leave(account)
    }
  }

  return {
    use,
    /** Unexpected results, as sentences. */
    wrong,
    /** All completed turns whose user has not deleted them. */
    answered: () => [...answered, ...all.flatMap((account) => [...account.answered])],
  }
}
