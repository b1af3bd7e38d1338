import { describe, expect, test } from "bun:test"
import { Effect } from "effect"
import { negotiate } from "../../src/http/accept.ts"

const rendering = (accept: string | null) =>
  Effect.runSync(Effect.catchAll(negotiate(accept), ({ _tag }) => Effect.succeed(_tag)))

describe("an Accept header", () => {
  test.each([
    [null, "audio/mpeg"],
    ["", "audio/mpeg"],
    ["*/*", "audio/mpeg"],
    ["audio/*", "audio/mpeg"],
    ["audio/mpeg", "audio/mpeg"],
    ["audio/wav", "audio/wav"],
    ["audio/pcm", "audio/pcm"],
    ["application/json", "application/json"],
    ["application/*", "application/json"],
    ["AUDIO/WAV", "audio/wav"],
    ["audio/wav;charset=utf-8", "audio/wav"],
    ["audio/wav; Q=0.5, audio/pcm; q=0.6", "audio/pcm"],
    ["text/html, application/json", "application/json"],
    ["application/json, text/plain, */*", "application/json"],
    ["text/html,application/xhtml+xml,*/*;q=0.8", "audio/mpeg"],
    ["audio/*;q=0.5, application/json", "application/json"],
    ["application/json;q=0.5, audio/*;q=0.9", "audio/mpeg"],
    ["*/*;q=0.1, audio/wav", "audio/wav"],
    ["audio/mpeg;q=0, audio/*", "audio/wav"],
    ["audio/mpeg;q=0, */*;q=0.1", "audio/wav"],
    ["audio/wav, audio/mpeg", "audio/mpeg"],
    ["audio/mpeg;q=0.1, audio/*;q=0.9", "audio/wav"],
    ["application/json;q=1.0000, audio/mpeg;q=0.9999", "application/json"],
    ["audio/wav;q=high", "audio/wav"],
    ["audio/wav;q=7, application/json", "audio/wav"],
    [" , audio/wav , ", "audio/wav"],
    ["audio/mp3", "audio/mpeg"],
    ["audio/x-mp3", "audio/mpeg"],
    ["audio/mpeg3", "audio/mpeg"],
    ["audio/x-mpeg-3", "audio/mpeg"],
    ["audio/x-mpeg", "audio/mpeg"],
    ["audio/mpg", "audio/mpeg"],
    ["Audio/MP3", "audio/mpeg"],
    ["audio/x-wav", "audio/wav"],
    ["audio/wave", "audio/wav"],
    ["audio/vnd.wave;codec=1", "audio/wav"],
    ["audio/x-pn-wav", "audio/wav"],
    ["audio/x-pcm", "audio/pcm"],
    ["audio/mp3;q=0.5, audio/x-wav;q=0.6", "audio/wav"],
    ["audio/x-wav;q=0.4, application/json;q=0.5", "application/json"],
    ["audio/mp3;q=0, audio/*", "audio/wav"],
    ["audio/mp3;q=0.1, audio/wav;q=0.5, audio/mpeg", "audio/mpeg"],
    ["audio/x-wav, */*;q=0.1", "audio/wav"],
    ["audio/wav;level=1;q=0.3, application/json;q=0.2", "audio/wav"],
  ])("%p selects %s", (accept, expected) => {
    expect<string>(rendering(accept)).toBe(expected)
  })

  test.each([
    "text/html",
    "audio/ogg",
    // Big-endian (RFC 2586), which audio/pcm is not.
    "audio/L16",
    "audio/mp3;q=0",
    "audio/constructor",
    "image/*",
    "*/*;q=0",
    "audio/*;q=0",
    "application/json;q=0",
    "application/json;q=0, text/plain",
    "audio",
    "*",
    "json",
  ])("%p selects nothing", (accept) => {
    expect(rendering(accept)).toBe("NotAcceptable")
  })
})
