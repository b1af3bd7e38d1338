import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { type FfmpegWitness, witnessFfmpeg } from "../support/ffmpeg-witness.ts"
import { cleanUpProcesses, newFolder, startProcess } from "../support/process.ts"
import { until } from "../support/turns.ts"

let database: TestDatabase
let witness: FfmpegWitness
beforeAll(async () => {
  database = await makeDatabase()
})
beforeEach(async () => {
  witness = await witnessFfmpeg(newFolder())
})
afterAll(async () => {
  await cleanUpProcesses()
  await database.drop()
})

const start = (env: Record<string, string> = {}) =>
  startProcess({
    env: {
      NODE_ENV: "production",
      OPENAI_API_KEY: "sk-test",
      DATABASE_URL: database.url,
      FFMPEG_PATH: witness.path,
      FFMPEG_WARM: "2",
      ...env,
    },
  })

/** A process whose parent was killed is gone when its new parent has read its exit code. */
const living = async () => {
  const states = witness.alive().map((pid) => Bun.spawn(["ps", "-o", "stat=", "-p", `${pid}`]).stdout.text())
  return (await Promise.all(states)).filter((state) => !/^(Z|\s*$)/.test(state))
}

test.each(["SIGTERM", "SIGINT", "SIGKILL"] as const)(
  "the warm ffmpeg ends with a service ended by %s",
  async (signal) => {
    const service = start()
    await service.url()
    await until(() => witness.alive().length === 1, "one that waits")
    service.signal(signal)
    expect(await service.ended).toBe(signal === "SIGKILL" ? signal : 0)
    await until(async () => (await living()).length === 0, "its end")
  },
)

test("a failed start leaves no ffmpeg", async () => {
  using taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } })
  const service = start({ PORT: `${taken.port}` })
  expect(await service.ended).toBe(1)
  expect(service.stderr()).toContain("could not be opened")
  expect(await living()).toEqual([])
})
