import { Effect, Mailbox } from "effect"
import { nextEvents } from "../event-loop.ts"

/** The messages of a session, which takes one after the other. */
export interface Inbox<A> {
  /** Adds a message. Never waits. One that is added while another is handled comes directly after that. */
  readonly add: (message: A) => void
  /** Adds a message at the end: what it tells comes after all that happened before. */
  readonly addLast: (message: A) => void
  /** Handles the messages, for ever. */
  readonly run: (handle: (message: A) => void) => Effect.Effect<never>
}

/** What is handled before other connections get their turn: 5 to 20 ms of work. */
const costsInARow = 500_000

/** What a message costs at least. */
const leastCost = 2_000

const pause = Effect.promise(nextEvents)

/** `costOf`: about the characters or bytes that a message makes the session work on. */
export const makeInbox = <A>(costOf: (message: A) => number): Effect.Effect<Inbox<A>> =>
  Effect.map(Mailbox.make<A>(), (waiting) => {
    /** What the message that is being handled has caused. */
    const caused: Array<A> = []
    let isHandling = false
    const addLast = (message: A) => void waiting.unsafeOffer(message)

    /** The messages, each followed by what it has caused. */
    function* withCaused(messages: Iterable<A>): Generator<A> {
      for (const message of messages) {
        yield message
        for (let next = caused.shift(); next !== undefined; next = caused.shift()) yield next
      }
    }

    const handleAll = (messages: Iterable<A>, handle: (message: A) => void): Effect.Effect<void> => {
      const all = withCaused(messages)
      /** True if all are handled. */
      const handleSome = () => {
        isHandling = true
        for (let cost = 0; cost < costsInARow; ) {
          const { done, value } = all.next()
          if (done === true) {
            isHandling = false
            return true
          }
          handle(value)
          cost += leastCost + costOf(value)
        }
        isHandling = false
        return false
      }
      const work: Effect.Effect<void> = Effect.suspend(() =>
        handleSome() ? Effect.void : Effect.zipRight(pause, work),
      )
      return work
    }

    return {
      add: (message) => {
        if (isHandling) caused.push(message)
        else addLast(message)
      },
      addLast,
      run: (handle) =>
        Effect.forever(Effect.flatMap(waiting.takeAll, ([messages]) => handleAll(messages, handle))),
    }
  })
