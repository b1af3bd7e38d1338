import { afterAll, expect, test } from "bun:test"
import { cleanUpProcesses, newFolder, startProcess } from "../support/process.ts"

afterAll(cleanUpProcesses)

test("rate limits survive restarts, and the log names the client", async () => {
  const cwd = newFolder()
  const statuses: Array<number> = []
  for (const attempts of [2, 1]) {
    const service = startProcess({
      cwd,
      env: {
        NODE_ENV: "production",
        OPENAI_API_KEY: "sk-test",
        RATE_LIMIT_REGISTRATIONS_PER_HOUR: "1",
        TRUSTED_PROXIES: "127.0.0.1",
      },
    })
    const url = await service.url()
    for (let attempt = 0; attempt < attempts; attempt++) {
      const answer = await fetch(`${url}/api/v1/users/register`, {
        method: "POST",
        headers: { "x-forwarded-for": "198.51.100.1" },
        body: new URLSearchParams({ email: `${crypto.randomUUID()}@example.com` }),
      })
      statuses.push(answer.status)
    }
    service.signal("SIGTERM")
    expect(await service.ended).toBe(0)
    const lines = service.records().filter(({ event }) => event === "request.completed")
    expect(lines.map(({ ip }) => ip)).toEqual(Array(attempts).fill("198.51.100.1"))
  }
  expect(statuses).toEqual([201, 429, 429])
}, 60_000)
