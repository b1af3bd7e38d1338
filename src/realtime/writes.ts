import {
  Array as Arr,
  Cause,
  Deferred,
  Duration,
  Effect,
  FiberId,
  Mailbox,
  Option,
  Schedule,
  type Scope,
} from "effect"
import type { NewItem } from "../conversation/item.ts"
import type { Neighbours } from "../conversation/ledger-items.ts"
import { SessionBusy } from "../conversation/stored-turn.ts"
import { DatabaseUnavailable } from "../db/errors.ts"
import { uninterruptibleWithTimeout } from "../db/postgres.ts"
import type { ItemId } from "../schema.ts"
import type { UnsavedItems } from "../turn/request.ts"
import type { Consumed } from "../usage/bill.ts"
import { closeTimeout, type Linger } from "./linger.ts"

/** Writes that may wait for the database before no more items of the client are taken. */
const maxWaiting = 10_000

/** UTF-16 units of the items that wait for the database before no more items of the client are taken. */
const maxCharacters = 32 * 1024 * 1024

/** Items of one transaction. A turn whose prompt takes unsaved items takes as many at most. */
const maxBatch = 200

/** How long a write is repeated while the database is away. It is dropped after that, so that the later ones get their turn. */
const retrySchedule = Schedule.spaced("500 millis").pipe(Schedule.upTo("1 minute"))

/** How long a response waits for the writes before it while the database takes none. */
const databaseTimeout = Duration.seconds(10)

/** How much longer it waits while they wait for other turns of the session: 30 s in all, as a turn waits for those ahead. */
const queueTimeout = Duration.seconds(20)

/** How long the writes go on after that, while nobody waits for them. */
const lingerTimeout = Duration.minutes(1)

/** An item to save. */
export interface ItemWrite {
  readonly item: NewItem
  /** By the transcription of speech. */
  readonly consumed?: Consumed | undefined
  /** Its place, without the items that wait behind it. */
  readonly place: () => Neighbours
}

/** Saves items that follow each other. `onEntered` as in `Writes.change`. */
export type SaveItems = (
  items: Arr.NonEmptyReadonlyArray<ItemWrite>,
  onEntered: () => void,
) => Effect.Effect<void, WriteError>

/** The writes of one connection to its stored session, one after the other. */
export interface Writes {
  /** True: too much waits. A client's items are refused then; what was said and heard is written. */
  readonly isFull: () => boolean
  /** Whether an item waits to be saved after another one that waits. */
  readonly isBehind: (id: ItemId, other: ItemId) => boolean
  /** Adds a write at the end. A plain function. */
  readonly add: (write: Effect.Effect<void, WriteError>) => void
  /** `add` for a change that has its place in the session's queue, and calls `onEntered` once it has that. */
  readonly change: (write: (onEntered: () => void) => Effect.Effect<void, WriteError>) => void
  /** Adds an item. Those that wait are saved together where they follow each other. */
  readonly append: (item: ItemWrite) => void
  /**
   * What a response waits for: the writes of now have ended. If the last of them adds an item at the end, its place in the
   * session's queue is enough, and the response takes the item from here. Fails if that takes longer than 10 s because the
   * database is away, or longer than 30 s because other turns of the session run. Takes note of the writes when it is
   * called, not when it is run.
   */
  readonly written: () => Effect.Effect<UnsavedItems, SessionBusy | DatabaseUnavailable>
}

/** Only `DatabaseUnavailable` is worth another try. */
export interface WriteError {
  readonly _tag: string
}

/** What is done about items that are not saved: what they cost counts all the same. */
export type DropItems = (items: Arr.NonEmptyReadonlyArray<ItemWrite>) => Effect.Effect<void>

interface Write {
  /** Undefined if it does something else than to add an item. */
  readonly item: ItemWrite | undefined
  readonly characters: number
  readonly run: (batch: ReadonlyArray<Write>, onEntered: () => void) => Effect.Effect<void, WriteError>
  readonly entered: Deferred.Deferred<void>
  readonly ended: Deferred.Deferred<void>
  /** The items that it is saved with. */
  batch: ReadonlyArray<NewItem>
  /** A response waits for it: what was added later is not saved with it. */
  endsBatch: boolean
}

const nothing: UnsavedItems = { items: [], saved: Effect.void }

const end = ({ entered, ended }: Write) => {
  Deferred.unsafeDone(entered, Effect.void)
  Deferred.unsafeDone(ended, Effect.void)
}

/** The items that the writes add. */
const itemsOf = (writes: Iterable<Write>): ReadonlyArray<ItemWrite> =>
  [...writes].flatMap(({ item }) => (item === undefined ? [] : [item]))

const isAtEnd = ({ item }: Write) => item !== undefined && item.place().later.length === 0

/** Takes the writes from the queue that are carried out together: one, or items at the end of the conversation. */
const takeBatch = (queue: Array<Write>): ReadonlyArray<Write> => {
  let size = 1
  while (size < maxBatch && queue[size - 1]?.endsBatch === false) {
    const [last, next] = [queue[size - 1], queue[size]]
    if (last === undefined || next === undefined || !isAtEnd(last) || !isAtEnd(next)) break
    size += 1
  }
  return queue.splice(0, size)
}

export interface WritesOptions {
  readonly linger: Linger
  readonly save: SaveItems
  /** Called with the items of one `save`, or with items that were in none. */
  readonly onDropped: DropItems
  /** A write found that the session was deleted. */
  readonly onSessionGone: () => void
}

/** The end of the scope waits for the writes up to 5 s. Those that are left go on in `linger`. */
export const makeWrites = Effect.fnUntraced(function* ({
  linger,
  save,
  onDropped,
  onSessionGone,
}: WritesOptions): Effect.fn.Return<Writes, never, Scope.Scope> {
  const added = yield* Mailbox.make<Write>()
  /** Those that have not ended, in order. */
  const waiting = new Set<Write>()
  /** The items that wait, each with its number in order. */
  const numbers = new Map<ItemId, number>()
  let lastNumber = 0
  let newest: Write | undefined
  let characters = 0
  /** The write that runs waits for other turns of the session. */
  let isQueued = false

  const finish = (write: Write) => {
    waiting.delete(write)
    if (newest === write) newest = undefined
    if (write.item !== undefined) numbers.delete(write.item.item.id)
    characters -= write.characters
    end(write)
  }

  const dropItems = ([first, ...others]: ReadonlyArray<ItemWrite>) =>
    first === undefined ? Effect.void : onDropped([first, ...others])

  const carryOut = (batch: ReadonlyArray<Write>) =>
    Effect.suspend(() => {
      const items = itemsOf(batch).map(({ item }) => item)
      for (const write of batch) write.batch = items
      const onEntered = () => {
        isQueued = true
        for (const { entered } of batch) Deferred.unsafeDone(entered, Effect.void)
      }
      const run = batch[0]?.run(batch, onEntered) ?? Effect.void
      return run.pipe(
        Effect.onExit(() =>
          Effect.sync(() => {
            isQueued = false
          }),
        ),
        Effect.retry({ schedule: retrySchedule, while: ({ _tag }) => _tag === "DatabaseUnavailable" }),
        Effect.catchAllCause((cause) => {
          if (Cause.isInterruptedOnly(cause)) return Effect.void
          const isGone = Option.exists(Cause.failureOption(cause), ({ _tag }) => _tag === "SessionNotFound")
          return Effect.zipRight(
            isGone ? Effect.sync(onSessionGone) : Effect.logWarning("realtime.write_failed", cause),
            dropItems(itemsOf(batch)),
          )
        }),
      )
    })

  const worker = yield* Effect.forkDaemon(
    Effect.gen(function* () {
      for (let isDone = false; !isDone; ) {
        const [writes, done] = yield* added.takeAll
        const queue = [...writes]
        while (queue.length > 0) {
          const batch = takeBatch(queue)
          yield* carryOut(batch)
          batch.forEach(finish)
        }
        isDone = done
      }
    }),
  )
  const drop = Effect.suspend(() => {
    const count = waiting.size
    // The end of a turn waits for them.
    waiting.forEach(end)
    if (count === 0) return Effect.void
    const [untried, tried] = Arr.partition([...waiting], ({ batch }) => batch.length > 0)
    return Effect.annotateLogs(Effect.logWarning("realtime.writes_dropped"), { count }).pipe(
      Effect.zipRight(
        Effect.all([dropItems(itemsOf(tried)), dropItems(itemsOf(untried))], { concurrency: 2 }),
      ),
      Effect.timeoutOption(closeTimeout),
      uninterruptibleWithTimeout,
    )
  })
  const rest = worker.await.pipe(
    Effect.timeoutOption(lingerTimeout),
    Effect.ensuring(Effect.zipRight(worker.interruptAsFork(worker.id()), drop)),
    Effect.asVoid,
  )
  yield* Effect.addFinalizer(() =>
    added.end.pipe(
      Effect.zipRight(worker.await),
      Effect.timeoutOption(closeTimeout),
      Effect.interruptible,
      Effect.zipRight(Effect.suspend(() => (waiting.size === 0 ? Effect.void : linger(rest)))),
    ),
  )

  const enqueue = (write: Pick<Write, "item" | "characters" | "run">) => {
    newest = {
      ...write,
      entered: Deferred.unsafeMake<void>(FiberId.none),
      ended: Deferred.unsafeMake<void>(FiberId.none),
      batch: [],
      endsBatch: false,
    }
    waiting.add(newest)
    characters += write.characters
    added.unsafeOffer(newest)
  }
  const change: Writes["change"] = (write) =>
    enqueue({ item: undefined, characters: 0, run: (_, onEntered) => write(onEntered) })

  const saveBatch: Write["run"] = (batch, onEntered) => {
    const [first, ...others] = itemsOf(batch)
    return first === undefined ? Effect.void : save([first, ...others], onEntered)
  }

  const unavailable = new DatabaseUnavailable({ cause: "earlier items are not saved" })
  const inTime = (done: Deferred.Deferred<void>) => {
    const later = Effect.timeoutFail(Deferred.await(done), {
      duration: queueTimeout,
      onTimeout: () => (isQueued ? new SessionBusy() : unavailable),
    })
    return Deferred.await(done).pipe(
      Effect.timeoutOption(databaseTimeout),
      Effect.flatMap(
        Option.match({
          onSome: () => Effect.void,
          onNone: () => (isQueued ? later : unavailable),
        }),
      ),
    )
  }

  return {
    isFull: () => waiting.size >= maxWaiting || characters >= maxCharacters,
    isBehind: (id, other) => (numbers.get(id) ?? 0) > (numbers.get(other) ?? lastNumber),
    append: (item) => {
      lastNumber += 1
      numbers.set(item.item.id, lastNumber)
      enqueue({ item, characters: JSON.stringify(item.item.payload).length, run: saveBatch })
    },
    change,
    add: (write) => change(() => write),
    written: () => {
      const last = newest
      if (last === undefined) return Effect.succeed(nothing)
      const saved = inTime(last.ended)
      if (!isAtEnd(last)) return Effect.as(saved, nothing)
      last.endsBatch = true
      return Effect.map(inTime(last.entered), () => ({ items: last.batch, saved }))
    },
  }
})
