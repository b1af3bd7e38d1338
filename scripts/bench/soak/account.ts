import { Schema } from "effect"
import { register } from "../programs.ts"

/** A user of the soak, who comes many times. */
export interface Account {
  readonly key: string
  readonly email: string
  /** Of the last turn that was saved. */
  sessionId: string | undefined
  /** Turns that were answered whole. */
  readonly answered: Set<string>
  visits: number
  /** Visits that are not over. */
  inHand: number
  isLeaving: boolean
}

/** One that has come so often leaves: what is stored of one user stays bounded. */
const visitsEach = 60

/** A new one. */
export const openAccount = async (api: string): Promise<Account> => {
  const email = `soak-${crypto.randomUUID()}@example.com`
  return {
    key: await register(api, email),
    email,
    sessionId: undefined,
    answered: new Set(),
    visits: 0,
    inHand: 0,
    isLeaving: false,
  }
}

/** An answer to a call that is no turn. */
export interface Answered {
  readonly status: number
  readonly body: unknown
}

/** How long an answer may take at most, in ms: longer than all time-outs of a turn together. */
export const patienceMs = 120_000

/** Calls a JSON endpoint. Rejects where there is no answer. */
export const call = async (
  api: string,
  key: string | undefined,
  method: string,
  path: string,
  body?: Readonly<Record<string, unknown>>,
): Promise<Answered> => {
  const answer = await fetch(`${api}${path}`, {
    method,
    headers: {
      // A connection that waits for another call would be counted as one that is left.
      connection: "close",
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(patienceMs),
  })
  const text = await answer.text()
  return { status: answer.status, body: text === "" ? undefined : JSON.parse(text) }
}

/** Deletes an account with all that is stored of it; answers the status. */
export const closeAccount = async (api: string, { key, email }: Account): Promise<number> =>
  (await call(api, key, "DELETE", "/users/me", { email })).status

const Opened = Schema.Struct({ sessionId: Schema.UUID })

/** A new session of the account. */
export const openSession = async (api: string, { key }: Account): Promise<string> =>
  Schema.decodeUnknownSync(Opened)((await call(api, key, "POST", "/sessions", {})).body).sessionId

/** So many accounts that take turns; those that have come often leave, every second of them with all that is theirs. */
export const makeAccounts = async (api: string, count: number) => {
  const all = await Promise.all(Array.from({ length: count }, () => openAccount(api)))
  /** Turns of accounts that left and kept their data. */
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

  /** The next in turn; in the place of one that has come often enough, a new one. */
  const choose = async (): Promise<Account> => {
    const place = next
    next = (next + 1) % all.length
    const found = all[place]
    if (found === undefined) throw new Error("There are no accounts.")
    if (found.visits < visitsEach) return found
    // Another visit is about to replace it.
    if (found.isLeaving) return choose()
    found.isLeaving = true
    const fresh = await openAccount(api)
    all[place] = fresh
    if (found.inHand === 0) await leave(found)
    return fresh
  }

  const use = async <A>(visit: (account: Account) => Promise<A>): Promise<A> => {
    const account = await choose()
    account.visits += 1
    account.inHand += 1
    try {
      return await visit(account)
    } finally {
      account.inHand -= 1
      if (account.inHand === 0 && !all.includes(account)) await leave(account)
    }
  }

  return {
    use,
    /** Sentences on what must not be. */
    wrong,
    /** All turns that were answered whole, and whose user has not left with all data. */
    answered: () => [...answered, ...all.flatMap((account) => [...account.answered])],
  }
}
