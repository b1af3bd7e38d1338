/**
 * The ffmpeg of the image, built on this machine as the Dockerfile does, from the source of its own Debian. `bun run check` uses
 * it for the service's audio: it is what users get, and each start takes 0.01 s of CPU instead of 0.05 s.
 */
import { existsSync } from "node:fs"
import { chmod, copyFile, mkdir, mkdtemp, rename, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

const root = join(import.meta.dir, "..")
const dataFolder = join(root, ".data")

/** What the Dockerfile installs and runs. */
const readStage = async () => {
  const dockerfile = await Bun.file(join(root, "Dockerfile")).text()
  const [, stage = ""] =
    /^FROM base AS ffmpeg$([\s\S]*?)^FROM /m.exec(dockerfile.replaceAll(/\\\n\s*/g, "")) ?? []
  return {
    install: /apt-get install [^&]*/.exec(stage)?.[0].trim() ?? "",
    build: /cd \/source\s+&& (.*)$/m.exec(stage)?.[1] ?? "",
  }
}

/** Where it is once it is built. */
const pathOf = ({ build }: { readonly build: string }) =>
  join(dataFolder, `ffmpeg-${new Bun.CryptoHasher("sha256").update(build).digest("hex").slice(0, 16)}`)

/** Undefined: this machine has not built it. */
export const imageFfmpeg = async (): Promise<string | undefined> => {
  const path = pathOf(await readStage())
  return existsSync(path) ? path : undefined
}

/** With lists of source packages, which a machine may lack, beside its own lists. */
const getSource = `mkdir -p parts lists/partial
: > none
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
  case $file in *.list | *.sources) ;; *) continue ;; esac
  if [ -f "$file" ]; then
    sed -E 's/^deb /deb-src /; s/^Types:.*/Types: deb-src/' "$file" > "parts/source-$(basename "$file")"
  fi
done
apt="-o Dir::Etc::SourceList=$PWD/none -o Dir::Etc::SourceParts=$PWD/parts -o Dir::State::Lists=$PWD/lists"
apt-get $apt -qq update
apt-get $apt -qq source ffmpeg`

/** Throws with the end of its output. */
const shell = async (script: string, cwd: string) => {
  const child = Bun.spawn(["sh", "-ec", `exec 2>&1\n${script}`], {
    cwd,
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    stdio: ["ignore", "pipe", "inherit"],
  })
  const output = await child.stdout.text()
  if ((await child.exited) !== 0) throw new Error(output.slice(-2000))
}

/**
 * Builds it unless it is there: a minute, once. For root on Debian only, because it installs a compiler. Without it the tests use
 * the machine's ffmpeg, so a failure ends nothing.
 */
export const buildImageFfmpeg = async (): Promise<void> => {
  if ((await imageFfmpeg()) !== undefined || process.getuid?.() !== 0 || Bun.which("apt-get") === null) return
  console.log("Building the ffmpeg of the image for the tests. This takes a minute, and happens once.")
  const stage = await readStage()
  const folder = await mkdtemp(join(tmpdir(), "voice-agent-ffmpeg-"))
  try {
    await shell(`apt-get -qq update && ${stage.install} -qq`, folder)
    await shell(getSource, folder)
    await shell(`cd ffmpeg-*/ && ${stage.build} && mv ffmpeg ../built`, folder)
    await mkdir(dataFolder, { recursive: true })
    // Another check may be building it too.
    const own = join(dataFolder, `ffmpeg-${process.pid}`)
    await copyFile(join(folder, "built"), own)
    await chmod(own, 0o755)
    await rename(own, pathOf(stage))
  } catch (error) {
    console.log(`It cannot be built here; the tests use the machine's ffmpeg.\n${error}`)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
