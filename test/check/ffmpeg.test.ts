import { expect, test } from "bun:test"
import { join } from "node:path"
import { writeQuickFfmpeg } from "../../scripts/check/ffmpeg.ts"
import { imageFfmpeg } from "../../scripts/ffmpeg.ts"
import { makeStartFfmpeg } from "../../src/ffmpeg/sandbox.ts"
import { tempFolder } from "../support/temp-folders.ts"

const image = await imageFfmpeg()

const answerOf = async (path: string, ...args: ReadonlyArray<string>) =>
  (await Bun.$`${path} ${args}`.quiet()).stdout.toString()

test.skipIf(image === undefined)(
  "the service's ffmpeg is that of the image, other programs' is not",
  async () => {
    const quick = join(await writeQuickFfmpeg(join(tempFolder("ffmpeg"), "bin")), "ffmpeg")
    const started = makeStartFfmpeg(quick)(["-buildconf"])
    const [configuration] = await Promise.all([started.stdout.text(), started.ended()])
    expect(configuration).toBe(await answerOf(image ?? "", "-buildconf"))
    expect(configuration).not.toBe(await answerOf(quick, "-buildconf"))
  },
)
