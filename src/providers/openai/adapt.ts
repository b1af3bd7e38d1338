import { Option } from "effect"
import type { ServerLessons } from "../lessons.ts"
import { type Choice, isSame, isTooHigh, type Refusal, refusalOf, refusedChoice } from "./refusal.ts"

/** The ways to send an optional part of a request, best first. A server that refuses them all gets the request without it. */
export type Optional = ReadonlyArray<Choice>

/** What is sent in place of the choice: another value, or another field. */
const insteadOf = ({ field }: Choice, next: Choice | undefined) =>
  Option.map(Option.fromNullable(next), (choice) =>
    choice.field === field ? `${choice.lesson.value}` : choice.field,
  )

/**
 * Sends a request with the optional parts that its server accepts. A 400 or 422 that names one of them leads at once to the
 * same request with the next choice, or without the part. Each choice is sent at most once. A refusal that names none is
 * thrown.
 *
 * The lessons are learned when the server accepts the request, so a refusal of something else teaches nothing. Two kinds
 * hold for this request only: a limit on tokens that is too high for this prompt, and a field without which the server
 * repeated its refusal word for word. A refusal that misses what a lesson left out ends that lesson: the server has changed.
 */
export const sendAdapted = async <A>(
  lessons: ServerLessons,
  optionals: ReadonlyArray<Optional>,
  send: (fields: Readonly<Record<string, unknown>>) => Promise<A>,
): Promise<A> => {
  const refused = new Set<Choice>()
  const lessonsDue = new Set<Choice>()
  /** Sent in spite of a lesson. */
  const recalled = new Set<Choice>()
  const refusals: Array<{ readonly refusal: Refusal; readonly cause: unknown; readonly choice: Choice }> = []
  const isLeftOut = (choice: Choice) =>
    !recalled.has(choice) && lessons.refuses(choice.lesson.parameter, choice.lesson.value)
  const chosenOf = (optional: Optional) =>
    optional.find((choice) => !refused.has(choice) && !isLeftOut(choice))

  for (;;) {
    const chosen = optionals.flatMap((optional) => chosenOf(optional) ?? [])
    try {
      const answer = await send(Object.fromEntries(chosen.map(({ field, value }) => [field, value])))
      for (const choice of chosen.filter((each) => recalled.has(each))) {
        lessons.forget(choice.lesson.parameter, choice.lesson.value)
      }
      for (const optional of optionals) {
        for (const choice of optional.filter((each) => lessonsDue.has(each))) {
          lessons.learn({ ...choice.lesson, instead: insteadOf(choice, chosenOf(optional)) })
        }
      }
      return answer
    } catch (cause) {
      const refusal = refusalOf(cause)
      if (refusal === undefined) throw cause
      const last = refusals.at(-1)
      const choice = refusedChoice(refusal, chosen)
      // Of several values of one field, a server may refuse each in the same words.
      const isOfAnotherField = choice?.field !== last?.choice.field
      if (last !== undefined && isOfAnotherField && isSame(refusal, last.refusal)) {
        lessonsDue.delete(last.choice)
      }
      if (choice !== undefined) {
        refusals.push({ refusal, cause, choice })
        const isTooMuch = isTooHigh(refusal, choice)
        const others = isTooMuch ? optionals.find((optional) => optional.includes(choice)) : undefined
        for (const each of others ?? [choice]) refused.add(each)
        if (!isTooMuch && !recalled.has(choice)) lessonsDue.add(choice)
        continue
      }
      // A server that requires what this request left out: its first words say what was wrong with it.
      const own = [...refused].filter((each) => !recalled.has(each))
      if (refusedChoice(refusal, own) !== undefined) throw refusals[0]?.cause ?? cause
      const missed = refusedChoice(refusal, optionals.flat().filter(isLeftOut))
      if (missed === undefined) throw cause
      recalled.add(missed)
    }
  }
}
