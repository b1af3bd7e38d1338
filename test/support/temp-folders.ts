/** Folders of tests, which the end of the run removes: bun test emits no "exit" event of the process. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const folders = new Set<string>()

/** A new folder. */
export const tempFolder = (name = "test"): string => {
  const folder = mkdtempSync(join(tmpdir(), `voice-agent-${name}-`))
  folders.add(folder)
  return folder
}

/** For the end of the run. */
export const removeTempFolders = (): void => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
  folders.clear()
}
