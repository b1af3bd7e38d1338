import { expect } from "bun:test"
import { ConfigProvider, Effect, Layer, TestClock } from "effect"
import { Keys } from "../../src/accounts/keys.ts"
import type { SignedIn } from "../../src/accounts/model.ts"
import { Settings } from "../../src/config.ts"
import type { SocketHandlers } from "../../src/realtime/connection.ts"
import { RealtimeSockets } from "../../src/realtime/sockets.ts"
import { ApiKeyId, newId, UserId } from "../../src/schema.ts"
import { effectTest } from "../support/effect.ts"

const user: SignedIn = {
  id: newId(UserId),
  email: "ada@example.com",
  createdAt: new Date(0),
  keyId: newId(ApiKeyId),
}

const unused = Effect.die("unused")
const keys = Layer.succeed(Keys, {
  authenticate: () => unused,
  validOf: (ids) => Effect.succeed(new Set(ids)),
  list: () => unused,
  create: () => unused,
  rotate: () => unused,
  revoke: () => unused,
  replace: () => unused,
  withdraw: () => unused,
})

const env = new Map([["OPENAI_API_KEY", "sk-test"]])
const layer = RealtimeSockets.layer.pipe(
  Layer.provide(keys),
  Layer.provide(Settings.layer),
  Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(env))),
)

/** A connection whose client answers no ping. `ping` runs for each. */
const connect = Effect.fnUntraced(function* (ping: () => void) {
  const sockets = yield* RealtimeSockets
  let onClose = () => {}
  const socket = {
    sendText: (text: string) => text.length,
    getBufferedAmount: () => 0,
    close: () => undefined,
    ping: () => {
      ping()
      return 1
    },
    terminate: () => onClose(),
  }
  const upgrade = (handlers: SocketHandlers) => {
    onClose = () => handlers.close(socket, 1006)
    handlers.open(socket)
    return true
  }
  const session = { receive: () => undefined, stop: () => {}, drain: Effect.void }
  expect(yield* sockets.connect(user, () => Effect.succeed(session), upgrade)).toBe(true)
})

effectTest(
  "a connection whose check throws ends alone",
  Effect.gen(function* () {
    const sockets = yield* RealtimeSockets
    let pings = 0
    yield* connect(() => {
      throw new Error("no ping")
    })
    yield* connect(() => {
      pings += 1
    })
    for (let second = 0; second < 25; second += 1) yield* TestClock.adjust("1 second")
    expect(pings).toBe(1)
    expect(yield* sockets.size).toMatchObject({ connections: 1 })
  }).pipe(Effect.provide(layer)),
)
