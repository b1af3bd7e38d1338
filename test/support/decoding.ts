/** The service's decoding alone, with a record of its ffmpeg processes. Both end with the test's scope. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as BunFileSystem from "@effect/platform-bun/BunFileSystem"
import { ConfigProvider, Context, Effect, Exit, Layer, Scope } from "effect"
import { identify } from "../../src/audio/container.ts"
import { Settings } from "../../src/config.ts"
import { Ffmpeg } from "../../src/ffmpeg/ffmpeg.ts"
import { witnessFfmpeg } from "./ffmpeg-witness.ts"

export const startDecoding = (env: Record<string, string> = {}) =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "voice-agent-test-"))),
      (path) => Effect.promise(() => rm(path, { recursive: true, force: true })),
    )
    const witness = yield* Effect.promise(() => witnessFfmpeg(folder))
    const variables = new Map(Object.entries({ FFMPEG_PATH: witness.path, ...env }))
    const settings = Layer.provide(Settings.layer, Layer.setConfigProvider(ConfigProvider.fromMap(variables)))
    const scope = yield* Scope.make()
    const stop = Scope.close(scope, Exit.void)
    yield* Effect.addFinalizer(() => stop)
    const built = yield* Layer.buildWithScope(
      Layer.provide(Ffmpeg.layer, Layer.merge(settings, BunFileSystem.layer)),
      scope,
    )
    const ffmpeg = Context.get(built, Ffmpeg)

    /** A recording, as a turn decodes it. */
    const uploaded = Effect.fnUntraced(function* (bytes: Uint8Array) {
      const path = join(folder, crypto.randomUUID())
      yield* Effect.promise(() => Bun.write(path, bytes))
      return yield* identify({ path, bytes: bytes.length })
    })
    const decode = (bytes: Uint8Array) =>
      uploaded(bytes).pipe(
        Effect.flatMap(ffmpeg.decode),
        Effect.map(({ bytes }) => bytes),
      )

    /** The demuxers of the running ffmpeg processes, in start order. */
    const waiting = async (): Promise<string> => {
      const lines = witness.alive().map((pid) => Bun.spawn(["ps", "-ww", "-o", "args=", "-p", `${pid}`]))
      const args = await Promise.all(lines.map(({ stdout }) => stdout.text()))
      return args.map((text) => / -f (\w+) -i pipe:0 /.exec(text)?.[1] ?? "none").join(", ")
    }

    return { ...witness, decode, uploaded, waiting, stop }
  })
