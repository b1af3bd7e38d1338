import { Cause, Effect, Exit, Fiber, Option } from "effect"
import type { NewItem } from "../conversation/item.ts"
import { countResponse } from "../metrics.ts"
import { ItemId, newId, noUsage, type TurnId } from "../schema.ts"
import type { TurnEvent } from "../turn/events.ts"
import type { Turn } from "../turn/turns.ts"
import { failureOf, type ResponseError } from "./failures.ts"
import type { Items } from "./items.ts"
import { makeOutputAudio, type OutputAudio } from "./output-audio.ts"
import { leftMs, noPlayback, type Playback, playedMs, sent } from "./playback.ts"
import { makeResponse, type Response, type ResponseEnd } from "./response.ts"
import {
  makeResponseTurns,
  type ResponseOrder,
  type ResponseReport,
  type ResponseTurnOptions,
} from "./response-turn.ts"

export interface RespondingOptions extends ResponseTurnOptions {
  readonly items: Items
  readonly conversationId: string
  /** ms since 1970. */
  readonly now: () => number
  readonly fork: (effect: Effect.Effect<void>) => Fiber.RuntimeFiber<void>
  /** Whether the client plays a reply of the conversation now. */
  readonly onPlaying: (isPlaying: boolean) => void
}

/** A response that was created and is not done. */
interface Running {
  readonly order: ResponseOrder
  readonly response: Response
  readonly messageId: ItemId
  readonly fiber: Fiber.RuntimeFiber<void>
  readonly audio: OutputAudio
  readonly startedAt: number
  turn: Turn | undefined
  playback: Playback
  hasOutput: boolean
}

/** A response that may be wanted. */
interface Speculation {
  readonly order: ResponseOrder
  readonly messageId: ItemId
  readonly fiber: Fiber.RuntimeFiber<void>
  readonly adopt: () => void
}

/** The responses of one connection. Plain functions, called by the session alone, one after the other. */
export interface Responding {
  /** Creates a response: its first event goes out at once. */
  readonly begin: (order: ResponseOrder) => void
  /** Begins the work for a response that may be wanted, to the item `said`. Nothing of it is sent until `begin`. */
  readonly speculate: (order: ResponseOrder, said: NewItem) => void
  /** Ends the work for a response that is not wanted. */
  readonly drop: () => void
  /** Takes a report of a response's fiber. Returns true if the response is done with it. */
  readonly take: (report: ResponseReport) => boolean
  /** The id of the running response of the conversation. */
  readonly current: () => TurnId | undefined
  /** Whether the response with this id runs. */
  readonly isRunning: (id: string) => boolean
  readonly outOfBand: () => number
  /** Ends a running response. What the client heard of it is kept. Returns whether it had any output. */
  readonly cancel: (id: string, reason: "turn_detected" | "client_cancelled") => boolean
  /** Stops a reply whose response is done but that the client still plays. Returns whether there was one. */
  readonly stopPlaying: () => boolean
  /** The client has played all that it was sent. */
  readonly played: () => void
  /** How long the client will still play what it was sent, in ms. */
  readonly leftMs: () => number
  /** The id of the message that is being sent, and the playing time of its audio so far. */
  readonly sending: () => { readonly itemId: string; readonly audioMs: number } | undefined
  /** Ends all running responses as cancelled. */
  readonly cancelAll: () => void
  /** Keeps what was heard of the reply that runs or plays. For the end of the connection. */
  readonly keepHeard: Effect.Effect<void>
}

const logDone = (running: Running, status: string, now: number) => {
  const { order, startedAt, turn } = running
  const state = turn?.state()
  const since = (at: Option.Option<number> | undefined) =>
    // A speculative turn may have begun before its response.
    at !== undefined && Option.isSome(at) ? Math.max(0, at.value - startedAt) : undefined
  const firstAudioMs = since(state?.firstAudioAt)
  const line = Effect.annotateLogs(Effect.logInfo("realtime.response"), {
    turnId: order.id,
    status,
    firstTextMs: since(state?.firstTokenAt),
    firstAudioMs,
    audioMs: Math.round(running.playback.sentMs),
    ms: now - startedAt,
  })
  return Effect.zipRight(line, countResponse(status, firstAudioMs))
}

export const makeResponding = (options: RespondingOptions): Responding => {
  const { items, session, writes, wire, now, fork, onPlaying } = options
  const turns = makeResponseTurns(options)
  const running = new Map<string, Running>()
  let current: Running | undefined
  /** The newest reply of the conversation, from its first audio until the client has played it. */
  let playing: Running | undefined
  let speculation: Speculation | undefined

  const drop = () => {
    if (speculation !== undefined) fork(Effect.asVoid(Fiber.interrupt(speculation.fiber)))
    speculation = undefined
  }

  /** The turn of a response: the one that runs already, or a new one. */
  const take = (order: ResponseOrder) => {
    if (speculation?.order === order) {
      const { messageId, fiber, adopt } = speculation
      speculation = undefined
      adopt()
      return { messageId, fiber: () => fiber }
    }
    if (order.config.inConversation) drop()
    const messageId = newId(ItemId)
    return { messageId, fiber: () => fork(turns.run(order, messageId)) }
  }

  const begin = (order: ResponseOrder) => {
    const { id, config } = order
    const { messageId, fiber } = take(order)
    const response = makeResponse(
      { id, conversationId: config.inConversation ? options.conversationId : null, config },
      messageId,
      wire.send,
      config.inConversation
        ? {
            add: items.addOutput,
            finish: (item, audioMs) =>
              // As the turn's save does. The client may still report that more was heard.
              items.finishOutput(item, audioMs, item.status === "completed" || started.hasOutput),
          }
        : undefined,
    )
    response.begin()
    const started: Running = {
      order,
      response,
      messageId,
      fiber: fiber(),
      audio: makeOutputAudio(config.audio.output.format),
      startedAt: now(),
      turn: undefined,
      playback: noPlayback,
      hasOutput: false,
    }
    running.set(id, started)
    if (config.inConversation) current = started
  }

  const sendAudio = (to: Running, chunks: ReturnType<OutputAudio["push"]>) => {
    for (const { base64, ms } of chunks) {
      const isFirst = to.playback.sentMs === 0
      // A client plays a second reply after the first.
      if (isFirst && playing !== undefined) to.playback = { sentMs: 0, endsAt: playing.playback.endsAt }
      to.playback = sent(to.playback, ms, now())
      to.response.output({ _tag: "Audio", delta: base64, ms })
      if (isFirst && to.order.config.inConversation) {
        playing = to
        onPlaying(true)
      }
    }
  }

  const output = (to: Running, event: TurnEvent) => {
    switch (event._tag) {
      case "TextDelta":
        to.hasOutput = true
        return to.response.output({ _tag: "Text", text: event.text })
      case "Audio":
        to.hasOutput = true
        return sendAudio(to, to.audio.push(event.bytes))
      case "ToolCalled": {
        to.hasOutput = true
        const { itemId, callId, name, by } = event
        const _tag = by === "client" ? "ToolCall" : "ServedCall"
        if (by === "service" && to.order.config.inConversation) items.addServedCall(itemId)
        return to.response.output({ _tag, itemId, callId, name, arguments: event.arguments })
      }
      case "ToolReturned": {
        const { callId, output: result, isError } = event
        return to.response.output({ _tag: "ServedResult", callId, output: result, isError })
      }
      case "RoundStarted":
        if (to.turn !== undefined && to.order.config.inConversation) items.setTurn(event.messageId, to.turn)
        return to.response.output({ _tag: "Message", itemId: event.messageId })
      default:
        return
    }
  }

  const finish = (done: Running, end: ResponseEnd) => {
    running.delete(done.order.id)
    if (current === done) current = undefined
    done.response.end(end, done.turn?.state().consumed.usage ?? noUsage)
    fork(logDone(done, end._tag, now()))
  }

  const endOf = (done: Running, exit: Exit.Exit<void, ResponseError>): ResponseEnd => {
    if (Exit.isFailure(exit)) {
      // The turn was cancelled through another front door.
      const isCancelled = Option.exists(
        Cause.failureOption(exit.cause),
        ({ _tag }) => _tag === "TurnCancelled",
      )
      return isCancelled
        ? { _tag: "cancelled", reason: "client_cancelled" }
        : { _tag: "failed", error: failureOf(exit.cause) }
    }
    const reason = Option.getOrUndefined(done.turn?.state().round.endReason ?? Option.none())
    if (reason === "length") return { _tag: "incomplete", reason: "max_output_tokens" }
    return reason === "filtered" ? { _tag: "incomplete", reason: "content_filter" } : { _tag: "completed" }
  }

  const stopPlaying = () => {
    const stopped = playing
    playing = undefined
    onPlaying(false)
    return stopped
  }

  const cancel: Responding["cancel"] = (id, reason) => {
    const found = running.get(id)
    if (found === undefined) return false
    const { order, turn, fiber, hasOutput, playback } = found
    wire.dropAudio(id)
    const upTo = { playedMs: playedMs(playback, now()) }
    finish(found, { _tag: "cancelled", reason })
    if (playing === found) stopPlaying()
    const stop = Fiber.interrupt(fiber)
    if (turn !== undefined && order.config.inConversation) {
      // The connection may end before that is saved. If the turn was complete, this cuts the saved reply.
      writes.add(turn.interrupt(upTo))
    }
    fork(
      turn === undefined
        ? Effect.asVoid(stop)
        : // The turn saves what was heard, and says itself when that fails.
          Effect.ensuring(Effect.ignore(turn.interrupt(upTo)), stop),
    )
    return hasOutput
  }

  return {
    begin,
    speculate: (order, said) => {
      drop()
      const messageId = newId(ItemId)
      const { run, adopt } = turns.speculate(order, messageId, said)
      speculation = { order, messageId, fiber: fork(run), adopt }
    },
    drop,
    take: (given) => {
      const found = running.get(given.id)
      if (found === undefined) return false
      switch (given._tag) {
        case "TurnBegan":
          found.turn = given.turn
          if (found.order.config.inConversation) items.setTurn(found.messageId, given.turn)
          return false
        case "TurnEvents":
          for (const event of given.events) output(found, event)
          return false
        case "LimitTaken": {
          const { limit, remaining, resetSeconds: reset_seconds } = given.left
          wire.send({
            type: "rate_limits.updated",
            rate_limits: [{ name: "requests", limit, remaining, reset_seconds }],
          })
          return false
        }
        case "TurnEnded":
          if (Exit.isSuccess(given.exit)) {
            sendAudio(found, found.audio.flush())
            if (found.order.config.inConversation && found.hasOutput) session.confirm()
          }
          finish(found, endOf(found, given.exit))
          return true
      }
    },
    current: () => current?.order.id,
    isRunning: (id) => running.has(id),
    outOfBand: () => running.size - (current === undefined ? 0 : 1),
    cancel,
    cancelAll: () => {
      for (const id of [...running.keys()]) cancel(id, "client_cancelled")
    },
    stopPlaying: () => {
      if (playing === undefined) return false
      const { order, messageId, playback } = playing
      stopPlaying()
      if (leftMs(playback, now()) === 0) return false
      wire.dropAudio(order.id)
      items.setHeard(messageId, { playedMs: playedMs(playback, now()) })
      return true
    },
    played: () => void stopPlaying(),
    leftMs: () => (playing === undefined ? 0 : leftMs(playing.playback, now())),
    sending: () => current?.response.message(),
    keepHeard: Effect.suspend(() => {
      const upTo = ({ playback }: Running) => ({ playedMs: playedMs(playback, now()) })
      const interrupted = current?.turn?.interrupt(upTo(current)) ?? Effect.void
      const cut = playing === current ? undefined : playing?.turn?.truncate(upTo(playing))
      return Effect.all([Effect.ignore(interrupted), Effect.ignore(cut ?? Effect.void)], {
        concurrency: 2,
        discard: true,
      })
    }),
  }
}
