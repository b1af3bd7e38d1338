/** The examples of docs/guides/webhooks.md accept what the service signs, and nothing else. */
import { expect, test } from "bun:test"
import { join } from "node:path"
import { Redacted } from "effect"
import { makeSecret, signedHeaders } from "../../src/webhooks/signature.ts"
import { tempFolder } from "../support/temp-folders.ts"

const guide = await Bun.file(new URL("../../docs/guides/webhooks.md", import.meta.url)).text()
const exampleOf = (language: string) =>
  new RegExp(`^\`\`\`${language} verify\\n(.*?)^\`\`\`$`, "ms").exec(guide)?.[1] ?? expect.unreachable()

const secret = makeSecret()
const body = '{"type":"webhook.test","data":{"text":"ü €"}}'
const now = () => Math.floor(Date.now() / 1000)
const sign = (seconds = now(), by = secret) => ({ ...signedHeaders([by], { id: "1", seconds, body }) })
const { "webhook-signature": good = "" } = sign()

const cases = [
  { name: "a request", headers: sign(), body, says: true },
  {
    name: "several signatures",
    headers: { ...sign(), "webhook-signature": `v1,AAAA v2,x ${good}` },
    body,
    says: true,
  },
  { name: "another body", headers: sign(), body: `${body} `, says: "wrong signature" },
  { name: "another secret", headers: sign(now(), makeSecret()), body, says: "wrong signature" },
  { name: "another id", headers: { ...sign(), "webhook-id": "2" }, body, says: "wrong signature" },
  {
    name: "no signature",
    headers: { ...sign(), "webhook-signature": "" },
    body,
    says: "without the header webhook-signature",
  },
  ...["webhook-id", "webhook-timestamp", "webhook-signature"].map((header) => ({
    name: `without ${header}`,
    headers: Object.fromEntries(Object.entries(sign()).filter(([name]) => name !== header)),
    body,
    says: `without the header ${header}`,
  })),
  {
    name: "no number",
    headers: { ...sign(), "webhook-timestamp": "now" },
    body,
    says: "not of the last 5 minutes",
  },
  {
    name: "another version",
    headers: { ...sign(), "webhook-signature": good.replace("v1", "v2") },
    body,
    says: "wrong signature",
  },
  { name: "six minutes ago", headers: sign(now() - 360), body, says: "not of the last 5 minutes" },
  { name: "in six minutes", headers: sign(now() + 360), body, says: "not of the last 5 minutes" },
]
const answers = cases.map(({ says }) => says)

/** Runs a program that reads the cases and writes what it says of them. */
const run = async (command: ReadonlyArray<string>, file: string, program: string) => {
  const folder = tempFolder("webhooks")
  await Bun.write(join(folder, file), program)
  const input = JSON.stringify({ secret: Redacted.value(secret), cases })
  const child = Bun.spawn([...command, join(folder, file)], {
    stdin: new TextEncoder().encode(input),
    stdout: "pipe",
    stderr: "pipe",
  })
  const [output, problem] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  expect(problem).toBe("")
  return JSON.parse(output)
}

test("JavaScript", async () => {
  const said = await run(
    [process.execPath],
    "verify.mjs",
    `${exampleOf("js")}
const { secret, cases } = JSON.parse(await Bun.stdin.text())
const answer = ({ headers, body }) => {
  try {
    return verify(secret, headers, body).type === "webhook.test"
  } catch ({ message }) {
    return message
  }
}
console.log(JSON.stringify(cases.map(answer)))`,
  )
  expect(said).toEqual(answers)
})

test.skipIf(Bun.which("python3") === null)("Python", async () => {
  const said = await run(
    ["python3"],
    "verify.py",
    `${exampleOf("python")}
import sys
given = json.load(sys.stdin)
def answer(case):
    try:
        return verify(given["secret"], case["headers"], case["body"].encode())["type"] == "webhook.test"
    except ValueError as error:
        return str(error)
print(json.dumps([answer(case) for case in given["cases"]]))`,
  )
  expect(said).toEqual(answers)
})
