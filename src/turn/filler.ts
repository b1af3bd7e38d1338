import { Deferred, Duration, Effect, Option, Stream } from "effect"
import type { Agent } from "../agent/agent.ts"
import { languageOf } from "../providers/offline/voices.ts"
import { primaryLanguage } from "../text/language.ts"
import { runUntil } from "./fork.ts"
import { type Ports, type SpeechContext, speakSegments } from "./round.ts"
import { transcriptOf, writtenLength } from "./state.ts"

/** What the agent says while it waits for a tool, by language. */
const sentences: ReadonlyMap<string, string> = new Map([
  ["ar", "لحظة من فضلك."],
  ["cmn", "请稍等。"],
  ["cs", "Moment, prosím."],
  ["de", "Einen Moment."],
  ["el", "Μια στιγμή."],
  ["en", "One moment."],
  ["es", "Un momento."],
  ["fa", "یک لحظه."],
  ["fr", "Un instant."],
  ["he", "רק רגע."],
  ["hi", "एक क्षण।"],
  ["hu", "Egy pillanat."],
  ["it", "Un momento."],
  ["ja", "少々お待ちください。"],
  ["ko", "잠시만요."],
  ["nl", "Een ogenblik."],
  ["pl", "Chwileczkę."],
  ["pt", "Um momento."],
  ["ro", "Un moment."],
  ["ru", "Одну секунду."],
  ["sv", "Ett ögonblick."],
  ["tr", "Bir saniye."],
  ["uk", "Одну хвилинку."],
  ["vi", "Xin chờ một chút."],
  ["zh", "请稍等。"],
])

/** The agent's own sentence, or one in the language of what the user said; in English where none is known. */
const fillerFor = ({ acting, hearing }: Agent, transcript: string): Option.Option<string> =>
  Option.orElse(acting.filler.sentence, () => {
    const usual = Option.getOrUndefined(hearing.language)
    const language = primaryLanguage(transcript === "" ? (usual ?? "en") : languageOf(transcript, usual))
    return Option.fromNullable(sentences.get(language) ?? sentences.get("en"))
  })

/**
 * Says one sentence if the client has heard nothing for `acting.filler.after` while tools run. It is said to its end, unless
 * the tools return before its first audio. It is no part of the reply: the client gets its audio alone. A sentence that
 * cannot be spoken is left out.
 */
export const fillSilence = (
  ports: Pick<Ports, "synthesizer">,
  context: SpeechContext,
  returned: Deferred.Deferred<void>,
) =>
  Effect.gen(function* () {
    const { agent, log } = context
    const { after } = agent.acting.filler
    if (!log.state().output.streaming || Option.isNone(context.speechOutput) || Option.isNone(after)) return
    const spoken = fillerFor(agent, transcriptOf(log.state()))
    if (Option.isNone(spoken)) return
    const leftMs = () => {
      const { playsUntil, stages } = log.state()
      const waitsSince = stages.tools?.startedAt ?? log.now()
      return Math.max(waitsSince, playsUntil) + Duration.toMillis(after.value) - log.now()
    }
    const silence = Effect.gen(function* () {
      while (leftMs() > 0) yield* Effect.sleep(leftMs())
    })
    yield* runUntil(silence, Deferred.await(returned))
    if (yield* Deferred.isDone(returned)) return
    const before = log.state().audioMs
    const sentence = { index: 0, text: "", spoken: spoken.value, end: writtenLength(log.state()) }
    const isUnheard = Effect.suspend(() => (log.state().audioMs > before ? Effect.never : Effect.void))
    yield* runUntil(
      speakSegments(ports, context, Stream.make(sentence)),
      Effect.zipRight(Deferred.await(returned), isUnheard),
    ).pipe(Effect.catchAll((error) => Effect.logWarning("turn.filler_failed", error)))
  })
