/**
 * Sets up, then runs all that must hold before a change lands: format and lint, types, Effect's own diagnostics,
 * tests. Arguments go to `bun test`.
 */
import { bun, run, setUp } from "./setup.ts"

/** In ms. By the command line: what test/support/preload.ts sets holds for the first file only, after it 5 s again. */
const timeout = 30_000

const tests = async () => {
  const child = Bun.spawn([bun, "test", "--timeout", `${timeout}`, ...process.argv.slice(2)], {
    cwd: new URL("..", import.meta.url).pathname,
    stdio: ["inherit", "inherit", "pipe"],
  })
  let said = ""
  for await (const chunk of child.stderr.pipeThrough(new TextDecoderStream())) {
    process.stderr.write(chunk)
    said += chunk
  }
  const count = (word: string) => Number(new RegExp(`^ *(\\d+) ${word}$`, "m").exec(said)?.[1] ?? 0)
  return { code: await child.exited, passed: count("pass"), failed: count("fail") }
}

await setUp("tests")
const steps = ["lint", "types"]
let broken = 0
for (const step of steps) {
  if ((await run([bun, "run", step])) !== 0) broken += 1
}
const { code, passed, failed } = await tests()
const good = code === 0 && broken === 0 && passed > 0
console.log(
  good
    ? `\nAll good: ${steps.length} checks and ${passed} tests passed.`
    : `\nNot good: ${broken} of ${steps.length} checks and ${failed} of ${passed + failed} tests failed.`,
)
process.exit(good ? 0 : 1)
