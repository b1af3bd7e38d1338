import { Effect, Mailbox } from "effect"

/** The messages of a session, which takes one after the other. */
export interface Inbox<A> {
  /** Adds a message. Never waits. One that is added while another is handled comes directly after that. */
  readonly add: (message: A) => void
  /** Adds a message at the end: what it tells comes after all that happened before. */
  readonly addLast: (message: A) => void
  /** Handles the messages, for ever. */
  readonly run: (handle: (message: A) => void) => Effect.Effect<never>
}

export const makeInbox = <A>(): Effect.Effect<Inbox<A>> =>
  Effect.map(Mailbox.make<A>(), (waiting) => {
    /** What the message that is being handled has caused. */
    const caused: Array<A> = []
    let isHandling = false
    const addLast = (message: A) => void waiting.unsafeOffer(message)
    const handleAll = (messages: Iterable<A>, handle: (message: A) => void) => {
      isHandling = true
      for (const message of messages) {
        handle(message)
        for (let next = caused.shift(); next !== undefined; next = caused.shift()) handle(next)
      }
      isHandling = false
    }
    return {
      add: (message) => {
        if (isHandling) caused.push(message)
        else addLast(message)
      },
      addLast,
      run: (handle) =>
        Effect.forever(Effect.map(waiting.takeAll, ([messages]) => handleAll(messages, handle))),
    }
  })
