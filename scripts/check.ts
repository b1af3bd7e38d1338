/**
 * Runs every check that a change must pass: format and lint, types, Effect's diagnostics, tests. Sets up first.
 * `--changed` runs only the test files around what differs from `main`, `--sql` only tests that use PostgreSQL (and
 * no other check). Every other argument goes to `bun test`.
 */
import { endCheck, endOnSignals, isSignalled, startGroup } from "./check/ending.ts"
import { bun, root, setUp } from "./setup.ts"

const changedFlag = "--changed"
const sqlFlag = "--sql"
const given = process.argv.slice(2)
const passedOn = given.filter((argument) => argument !== changedFlag && argument !== sqlFlag)

const testFiles = [...new Bun.Glob("test/**/*.test.ts").scanSync(root)]
const unknown = passedOn.filter(
  (name) => name.endsWith(".ts") && !testFiles.some((file) => file.includes(name.replace(/^\.\//, ""))),
)
if (unknown.length > 0) {
  console.error(`There is no test file ${unknown.join(", ")}.`)
  process.exit(1)
}

endOnSignals()
await setUp("tests")
// These import packages, which only `setUp` has installed.
const { runTests } = await import("./check/tests.ts")
const { changedTests, sqlTests } = await import("./check/select.ts")

const steps = given.includes(sqlFlag) ? [] : ["lint", "types"]
// Beside the tests, which wait for processes and timers at times.
const checks = Promise.all(
  steps.map(
    (step) =>
      startGroup((options) =>
        Bun.spawn([bun, "run", step], { ...options, cwd: root, stdio: ["ignore", "inherit", "inherit"] }),
      ).exited,
  ),
)

const files = given.includes(changedFlag)
  ? await changedTests()
  : given.includes(sqlFlag)
    ? await sqlTests()
    : []
const nothingToTest = given.includes(changedFlag) && files.length === 0
const none = { code: 0, passed: 0, failed: 0 }
const { code, passed, failed } = nothingToTest
  ? none
  : await runTests([...passedOn, ...files]).catch((error) => {
      if (!isSignalled()) console.error(`\nThe tests cannot start. ${error}`)
      return { ...none, code: 1 }
    })

const broken = (await checks).filter((code) => code !== 0).length
const good = code === 0 && broken === 0 && (passed > 0 || nothingToTest)
const verdict = good
  ? `All good: ${steps.length} checks and ${passed} tests passed.`
  : `Not good: ${broken} of ${steps.length} checks and ${failed} of ${passed + failed} tests failed.`
if (!isSignalled()) console.log(`\n${verdict}`)
await endCheck(good ? 0 : 1)
