/**
 * Brings a fresh machine to where the service runs: npm packages, ffmpeg, and the offline engines. It runs before
 * anything is installed, so it imports nothing but Bun itself.
 */
const root = new URL("..", import.meta.url).pathname

/** What the service calls by name, and Debian's package of it. */
const programs = [
  { name: "ffmpeg", commands: ["ffmpeg"], packages: ["ffmpeg"], need: "required" },
  { name: "espeak-ng", commands: ["espeak-ng"], packages: ["espeak-ng"], need: "offline voice" },
  {
    name: "pocketsphinx",
    commands: ["pocketsphinx_batch"],
    packages: ["pocketsphinx", "pocketsphinx-en-us"],
    need: "offline speech recognition",
  },
] as const

/** What only the tests of the page call; CHROMIUM_PATH names another than Debian's. */
const testPrograms = [
  {
    name: "chromium",
    commands: [process.env.CHROMIUM_PATH ?? "chromium"],
    packages: ["chromium"],
    need: "tests of the page",
  },
] as const

type Program = (typeof programs | typeof testPrograms)[number]

const isThere = ({ commands }: Program) => commands.some((command) => Bun.which(command) !== null)

/** Runs a command in the project's folder with its output on the screen; answers its exit code. */
export const run = (command: ReadonlyArray<string>, env: Record<string, string> = {}): Promise<number> =>
  Bun.spawn([...command], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["inherit", "inherit", "inherit"],
  }).exited

/** This very bun, also where none is installed and npx brought it. */
export const bun = process.execPath

const must = async (command: ReadonlyArray<string>, env: Record<string, string> = {}) => {
  const code = await run(command, env)
  if (code !== 0) {
    console.error(`\`${command.join(" ")}\` ended with ${code}.`)
    process.exit(1)
  }
}

/** The one command that installs the missing programs by this machine's package manager. */
const installCommand = (missing: ReadonlyArray<Program>): string => {
  const debian = missing.flatMap(({ packages }) => packages)
  const names = missing.map(({ name }) => name)
  if (Bun.which("apt-get") !== null)
    return `sudo apt-get update && sudo apt-get install -y ${debian.join(" ")}`
  if (Bun.which("dnf") !== null)
    return `sudo dnf install -y ${names.map((name) => (name === "ffmpeg" ? "ffmpeg-free" : name)).join(" ")}`
  if (Bun.which("apk") !== null) return `sudo apk add ${names.join(" ")}`
  if (Bun.which("brew") !== null)
    return `brew install ${names.map((name) => (name === "pocketsphinx" ? "cmu-pocketsphinx" : name)).join(" ")}`
  return `your package manager, for: ${names.join(", ")}`
}

const installPrograms = async (wanted: ReadonlyArray<Program>) => {
  const missing = wanted.filter((program) => !isThere(program))
  if (missing.length === 0) return
  const list = missing.map(({ name, need }) => `${name} (${need})`).join(", ")
  if (process.getuid?.() === 0 && Bun.which("apt-get") !== null) {
    console.log(`Installing by apt-get what is missing on this machine: ${list}`)
    const packages = missing.flatMap(({ packages }) => packages)
    await must(["apt-get", "update", "-qq"])
    await must(["apt-get", "install", "-y", "-qq", "--no-install-recommends", ...packages], {
      DEBIAN_FRONTEND: "noninteractive",
    })
    return
  }
  console.log(`Missing on this machine: ${list}. Install with:\n\n  ${installCommand(missing)}\n`)
  if (missing.some(({ need }) => need === "required")) process.exit(1)
}

/** Installs what is missing for the service, or for its tests as well. Ends the process where something needed can't be had. */
export const setUp = async (purpose: "service" | "tests" = "service") => {
  await must([bun, "install", "--frozen-lockfile", "--silent"])
  await installPrograms(purpose === "tests" ? [...programs, ...testPrograms] : programs)
}
