import { Option } from "effect"
import type { Lesson, ServerLessons } from "../lessons.ts"
import {
  type Blame,
  type Choice,
  isSame,
  isTooHigh,
  type Refusal,
  refusalOf,
  refusedChoice,
} from "./refusal.ts"

/** The ways to send an optional part of a request, best first. A server that refuses them all gets the request without it. */
export type Optional = ReadonlyArray<Choice>

/** What is sent in place of the choice: another value, or another field. */
const insteadOf = ({ field }: Choice, next: Choice | undefined) =>
  Option.map(Option.fromNullable(next), (choice) =>
    choice.field === field ? `${choice.lesson.value}` : choice.field,
  )

/** How often in one request a field is left out that a refusal only names: an everyday word may be its name. */
const maxGuesses = 3

/**
 * Sends a request with the optional parts that its server accepts. A 400 or 422 that names one of them leads at once to the
 * same request with the next choice, or without the part. Each choice is sent at most once. A refusal that names none is
 * thrown. Calls `onRefusal` for each answer that leads to another request.
 *
 * What the server points to is learned at once, so that a try that takes too long is not in vain. What its words say it
 * does not support is learned when it accepts the request. The rest holds for this request only: a field that the words only
 * name, a limit on tokens that is too high for this prompt, and a field without which the server repeated its refusal word
 * for word. A refusal that misses what a lesson left out ends that lesson: the server has changed.
 */
export const sendAdapted = async <A>(
  lessons: ServerLessons,
  optionals: ReadonlyArray<Optional>,
  send: (fields: Readonly<Record<string, unknown>>) => Promise<A>,
  onRefusal: () => void,
): Promise<A> => {
  const refused = new Set<Choice>()
  const lessonsDue = new Set<Choice>()
  /** Sent in spite of a lesson. */
  const recalled = new Set<Choice>()
  const refusals: Array<{ readonly refusal: Refusal; readonly cause: unknown; readonly choice: Choice }> = []
  let guesses = 0
  const isLeftOut = (choice: Choice) =>
    !recalled.has(choice) && lessons.refuses(choice.lesson.parameter, choice.lesson.value)
  const chosenOf = (optional: Optional) =>
    optional.find((choice) => !refused.has(choice) && !isLeftOut(choice))
  const lessonOf = (choice: Choice): Lesson => {
    const optional = optionals.find((each) => each.includes(choice)) ?? []
    return { ...choice.lesson, instead: insteadOf(choice, chosenOf(optional)) }
  }
  const forget = ({ lesson }: Choice) => lessons.forget(lesson.parameter, lesson.value)

  const leaveOut = (refusal: Refusal, { choice, certainty }: Blame) => {
    const isTooMuch = isTooHigh(refusal, choice)
    const others = isTooMuch ? optionals.find((optional) => optional.includes(choice)) : undefined
    for (const each of others ?? [choice]) refused.add(each)
    if (recalled.has(choice)) return
    if (isTooMuch || certainty === "guessed") lessons.noteOnce(lessonOf(choice))
    else if (certainty === "pointed") lessons.learn(lessonOf(choice))
    else lessonsDue.add(choice)
  }

  for (;;) {
    const chosen = optionals.flatMap((optional) => chosenOf(optional) ?? [])
    try {
      const answer = await send(Object.fromEntries(chosen.map(({ field, value }) => [field, value])))
      for (const choice of chosen.filter((each) => recalled.has(each))) forget(choice)
      for (const choice of lessonsDue) lessons.learn(lessonOf(choice))
      return answer
    } catch (cause) {
      const refusal = refusalOf(cause)
      if (refusal === undefined) throw cause
      const last = refusals.at(-1)
      const blame = refusedChoice(refusal, chosen)
      // Of several values of one field, a server may refuse each in the same words.
      const isOfAnotherField = blame?.choice.field !== last?.choice.field
      if (last !== undefined && isOfAnotherField && isSame(refusal, last.refusal)) {
        lessonsDue.delete(last.choice)
        if (!recalled.has(last.choice)) forget(last.choice)
      }
      if (blame !== undefined) {
        if (blame.certainty === "guessed") guesses += 1
        if (guesses > maxGuesses) throw refusals[0]?.cause ?? cause
        refusals.push({ refusal, cause, choice: blame.choice })
        leaveOut(refusal, blame)
        onRefusal()
        continue
      }
      // A server that requires what this request left out: its first words say what was wrong with it.
      const own = [...refused].filter((each) => !recalled.has(each))
      if (refusedChoice(refusal, own) !== undefined) throw refusals[0]?.cause ?? cause
      const missed = refusedChoice(refusal, optionals.flat().filter(isLeftOut))
      if (missed === undefined) throw cause
      recalled.add(missed.choice)
      onRefusal()
    }
  }
}
