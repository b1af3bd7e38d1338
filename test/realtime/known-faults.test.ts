/**
 * Faults that users reported of other Realtime servers and clients, and the tests that keep them out of this service.
 * The tests without another place are at the end.
 */
import { describe, expect, test } from "bun:test"
import { join } from "node:path"
import { Context, Effect, Layer, TestClock } from "effect"
import { Transcriber } from "../../src/providers/transcriber.ts"
import { effectTest } from "../support/effect.ts"
import { makeFakeListener, silence, voice } from "../support/listener.ts"
import { makeSession } from "../support/realtime-session.ts"

/** The fault, where it was reported, and its tests: the file in `test`, and the title. */
type KnownFault = readonly [
  fault: string,
  reportedOf: string,
  tests: ReadonlyArray<readonly [string, string]>,
]

const knownFaults: ReadonlyArray<KnownFault> = [
  [
    "An append of an odd number of bytes ends the session.",
    "huggingface/speech-to-speech",
    [
      ["realtime/session.test.ts", "audio cut within a sample: no error, and the same samples"],
      ["realtime/input-audio.test.ts", "appends cut anywhere give the samples of one piece"],
    ],
  ],
  [
    "An update has no session.updated, and clients wait for ever.",
    "huggingface/speech-to-speech",
    [["realtime/session.test.ts", "every update is answered once, with everything"]],
  ],
  [
    "The output of an earlier connection reaches the next one; a stalled model blocks the session.",
    "huggingface/speech-to-speech",
    [
      ["realtime/end-to-end.test.ts", "of the connection: nothing is left, and the session goes on"],
      ["realtime/session-failures.test.ts", "a stalled model, within the time limit of a turn"],
    ],
  ],
  [
    "An mhm during the reply ends it.",
    "huggingface/speech-to-speech",
    [["realtime/barge-in.test.ts", "mhm during the reply"]],
  ],
  [
    "The second connection hangs.",
    "mudler/LocalAI",
    [["realtime/end-to-end.test.ts", "twenty connections in a row, each with a turn"]],
  ],
  [
    "A commit in mid-speech hides the next speech_started.",
    "mudler/LocalAI",
    [
      [
        "realtime/session.test.ts",
        "a commit in mid-speech ends the utterance, and further speech is another item",
      ],
    ],
  ],
  [
    "A transcription session answers; a failed response ends the session.",
    "speaches-ai/speaches",
    [
      ["realtime/session.test.ts", "never responds"],
      ["realtime/end-to-end.test.ts", "a failure of each stage leaves the socket usable"],
    ],
  ],
  [
    "A commit while audio streams has no final event.",
    "vllm-project/vllm",
    [["realtime/known-faults.test.ts", "commits while audio streams: each has one end"]],
  ],
  [
    "A client that vanishes takes the server down, or leaves its session behind.",
    "vllm-project/vllm",
    [
      ["realtime/end-to-end.test.ts", "of the connection at any stage leaves nothing"],
      ["http/realtime-lifecycle.test.ts", "reset at every stage"],
    ],
  ],
  [
    "Idle sockets stay open for ever, and empty commits keep them so.",
    "vllm-project/vllm",
    [["realtime/connection.test.ts", "no audio and no events for too long"]],
  ],
  [
    "A truncation is confirmed, but the model still gets the whole reply.",
    "vllm-project/vllm",
    [["realtime/end-to-end.test.ts", "ends the calls upstream, and the next prompt has what was heard"]],
  ],
  [
    "An error cancels an update beside it.",
    "vllm-project/vllm-omni",
    [["realtime/session.test.ts", "an error beside an update leaves it in force"]],
  ],
  [
    "Aborted handshakes use up the slots.",
    "vllm-project/vllm-omni",
    [["http/realtime-lifecycle.test.ts", "aborted handshakes take no place"]],
  ],
  [
    "One field of turn_detection replaces the whole object.",
    "sgl-project/sglang-omni",
    [
      ["realtime/protocol/update-config.test.ts", "a field alone keeps the others"],
      ["realtime/protocol/update-config.test.ts", "null switches it off, and a field on again"],
    ],
  ],
  [
    "An interruption drops the user's turn and the heard part of the reply.",
    "sgl-project/sglang-omni",
    [["realtime/barge-in.test.ts", "the next prompt has the user's words and what was heard"]],
  ],
  [
    "With a client that reads nothing, an interrupted model runs on.",
    "sgl-project/sglang-omni",
    [["realtime/barge-in.test.ts", "a client that reads nothing: the turn ends at once"]],
  ],
  [
    "A commit counts as a running response, and response.create is refused.",
    "maximhq/bifrost",
    [
      [
        "realtime/session.test.ts",
        "a commit makes no response, and response.create waits for the transcript",
      ],
    ],
  ],
  [
    "An empty reply has content_part.done without content_part.added.",
    "rmusser01/tldw_server",
    [
      ["realtime/response.test.ts", "without any output"],
      ["realtime/response.test.ts", "any output gives consistent events, and one end"],
    ],
  ],
  [
    "After a truncation beyond the audio, or of 0 ms, the agent is silent.",
    "pipecat-ai/pipecat, livekit/agents",
    [["realtime/barge-in.test.ts", "the client says better what it played"]],
  ],
  [
    "response.create right after response.cancel is refused, or lost.",
    "livekit/agents, openai/openai-agents-python",
    [
      [
        "realtime/session.test.ts",
        "cancel and create in one packet: the new response begins after the old one",
      ],
    ],
  ],
  [
    "A function_call_output starts a response, which collides with the client's own.",
    "pipecat-ai/pipecat",
    [["realtime/session.test.ts", "a call, its output, and the answer when the client asks for it"]],
  ],
  [
    "Of two utterances before an answer, the first one loses its transcript.",
    "openai/openai-agents-js",
    [
      [
        "realtime/session.test.ts",
        "two utterances before an answer keep their transcripts, and get one answer",
      ],
    ],
  ],
  [
    "The silence of the user counts from the last audio sent, not played.",
    "CrestApps/CrestApps.Core",
    [["realtime/barge-in.test.ts", "counts from the end of the playing time"]],
  ],
  [
    "A commit right after the turn detection's own ends the session.",
    "goodroot/hyprwhspr",
    [["realtime/session.test.ts", "a commit right after the turn detection's own: one error"]],
  ],
  [
    "An interruption has no speech_started, and the client plays on.",
    "BerriAI/litellm",
    [
      ["realtime/barge-in.test.ts", "speech_started comes first, then the closing events"],
      ["realtime/session-property.test.ts", "any messages and speech leave a consistent session"],
    ],
  ],
  [
    "Call ids with a slash, and the output of an unknown call, break the conversation.",
    "livekit/agents",
    [
      ["realtime/protocol/client-events.test.ts", "calls have an id of letters, digits, _ and -"],
      ["realtime/session.test.ts", "an output without its call"],
    ],
  ],
  [
    "A POST, or a client of the beta protocol, gets a bare 404.",
    "kyutai-labs/unmute, TanStack/ai",
    [["http/realtime.test.ts", "WebRTC, SIP and the beta protocol learn what to use"]],
  ],
  [
    "The audio of each turn is kept until the connection ends.",
    "ai-dynamo/dynamo",
    [["realtime/known-faults.test.ts", "the audio of 200 utterances is not kept"]],
  ],
]

describe("a test keeps out:", () => {
  test.each(knownFaults)("%s (%s)", async (_fault, _reportedOf, tests) => {
    for (const [file, title] of tests) {
      const source = await Bun.file(join(import.meta.dir, "..", file)).text()
      expect(source).toContain(`"${title}"`)
    }
  })
})

effectTest(
  "commits while audio streams: each has one end",
  Effect.gen(function* () {
    const session = yield* makeSession({
      transcripts: Array.from({ length: 6 }, (_, at) => ({ text: `Part ${at}.`, afterMs: 300 })),
    })
    yield* session.send({
      type: "session.update",
      session: {
        type: "realtime",
        audio: { input: { transcription: { model: "whisper-1" }, turn_detection: null } },
      },
    })
    for (let at = 0; at < 6; at++) {
      yield* session.speak(400)
      yield* session.send({ type: "input_audio_buffer.commit" })
      yield* session.pass(100)
    }
    yield* session.pass(1000)
    const committed = session.of("input_audio_buffer.committed").map(({ item_id }) => item_id)
    expect(committed).toHaveLength(6)
    const completed = session.of("conversation.item.input_audio_transcription.completed")
    expect(completed.map(({ item_id }) => item_id).toSorted()).toEqual(committed.toSorted())
    expect(new Set(completed.map(({ transcript }) => transcript)).size).toBe(6)
    expect(session.of("error")).toEqual([])
  }),
)

/** Bytes outside the heap, where audio is. */
const audioBytes = () => {
  Bun.gc(true)
  return process.memoryUsage().arrayBuffers
}

effectTest(
  "the audio of 200 utterances is not kept",
  Effect.gen(function* () {
    // The fake transcriber keeps what it was given.
    const forgetful = Layer.succeed(Transcriber, {
      transcribe: () => Effect.succeed({ text: "Hello." }),
      status: Effect.succeed("ok" as const),
      model: Effect.succeed("ears"),
    })
    const transcriber = Context.get(yield* Layer.build(forgetful), Transcriber)
    const { events, hear } = yield* makeFakeListener({ transcriber })
    const [speech, pause] = [voice(100), silence(20)]
    const utter = (count: number) =>
      Effect.repeatN(
        Effect.zipRight(
          Effect.sync(() => hear(speech, pause)),
          TestClock.adjust(0),
        ),
        count - 1,
      )
    yield* utter(20)
    events.length = 0
    const before = audioBytes()
    yield* utter(200)
    expect(events.filter(({ _tag }) => _tag === "Committed")).toHaveLength(200)
    events.length = 0
    // All of it would be 20 MB.
    expect(audioBytes() - before).toBeLessThan(2_000_000)
  }),
)
