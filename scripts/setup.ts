/**
 * Installs what a new machine needs to run the service: npm packages, ffmpeg, and the offline engines. It runs before
 * any package is installed, so it imports only what Bun has built in.
 */
import { existsSync } from "node:fs"
import { join, resolve } from "node:path"
import { buildImageFfmpeg } from "./ffmpeg.ts"

/** The project's folder. */
export const root = join(import.meta.dir, "..")

/** The programs that the service starts, with their Debian packages. */
const programs = [
  { name: "ffmpeg", commands: ["ffmpeg"], packages: ["ffmpeg"], need: "required" },
  { name: "flite", commands: ["flite"], packages: ["flite"], need: "offline voice for English" },
  {
    name: "espeak-ng",
    commands: ["espeak-ng"],
    packages: ["espeak-ng"],
    need: "offline voice for other languages",
  },
  {
    name: "pocketsphinx",
    commands: ["pocketsphinx_batch"],
    packages: ["pocketsphinx", "pocketsphinx-en-us"],
    need: "offline speech recognition",
  },
] as const

/** The programs that only the tests of the page start. CHROMIUM_PATH replaces Debian's Chromium. */
const testPrograms = [
  {
    name: "chromium",
    commands: [process.env.CHROMIUM_PATH ?? "chromium-headless-shell"],
    packages: ["chromium-headless-shell"],
    need: "tests of the page",
  },
] as const

type Program = (typeof programs | typeof testPrograms)[number]

const isInstalled = ({ commands }: Program) => commands.some((command) => Bun.which(command) !== null)

/** Runs a command in the project's folder with its output on the screen. Returns its exit code. */
export const run = (command: ReadonlyArray<string>, env: Record<string, string> = {}): Promise<number> =>
  Bun.spawn([...command], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["inherit", "inherit", "inherit"],
  }).exited

/** The running Bun, which npx may have brought. */
export const bun = process.execPath

const must = async (command: ReadonlyArray<string>, env: Record<string, string> = {}) => {
  const code = await run(command, env)
  if (code !== 0) {
    console.error(`\`${command.join(" ")}\` ended with ${code}.`)
    process.exit(1)
  }
}

/** The command that installs the missing programs with this machine's package manager. */
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
  const missing = wanted.filter((program) => !isInstalled(program))
  if (missing.length === 0) return
  const list = missing.map(({ name, need }) => `${name} (${need})`).join(", ")
  if (process.getuid?.() === 0 && Bun.which("apt-get") !== null) {
    console.log(`Installing missing programs with apt-get, which may take a minute: ${list}`)
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

/** The first time with Bun's progress on the screen; later runs find everything installed and print nothing. */
const installPackages = async () => {
  const isFirst = !existsSync(join(root, "node_modules"))
  if (isFirst) {
    console.log(
      "Installing the npm packages: about 500 MB on disk. This takes a minute or two, and happens once.",
    )
  }
  await must([bun, "install", "--frozen-lockfile", isFirst ? "--no-summary" : "--silent"])
}

/** Whether the models that the set-up installs are there. Imports packages, which must be installed before. */
const hasModels = async () => {
  const [{ Effect }, { isFileModel, manifest }, { allInstalled, libraryOf }] = await Promise.all([
    import("effect"),
    import("../src/models/manifest.ts"),
    import("../src/models/store.ts"),
  ])
  const library = libraryOf(resolve(root, process.env.DATA_DIR || ".data"))
  const found = await Effect.runPromise(allInstalled(library))
  const wanted = manifest.filter(isFileModel).filter(({ isDefault }) => isDefault)
  return wanted.every(({ name }) => found.some(({ model }) => model.name === name))
}

/** The models of the offline recognizer. The service runs without them, so a failure ends nothing. */
const installModels = async () => {
  if (await hasModels()) return
  console.log("Installing the models of the offline speech recognizer: a download of 26 MB, once.")
  if ((await run([bun, "src/main.ts", "models", "pull", "--default", "--yes"])) === 0) return
  console.log(
    "Without these models, pocketsphinx recognizes speech, with many more errors. To try again: bun src/main.ts models pull --default",
  )
}

/** Installs what the service, or its tests as well, need. Exits with 1 if a required program cannot be installed. */
export const setUp = async (purpose: "service" | "tests" = "service") => {
  await installPackages()
  await installModels()
  await installPrograms(purpose === "tests" ? [...programs, ...testPrograms] : programs)
  if (purpose === "tests") await buildImageFfmpeg()
}
