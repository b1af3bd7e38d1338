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
 * hold for this request only: a limit on tokens that is too high for this prompt, and a choice without which the server
 * repeated its refusal word for word.
 */
export const sendAdapted = async <A>(
  lessons: ServerLessons,
  optionals: ReadonlyArray<Optional>,
  send: (fields: Readonly<Record<string, unknown>>) => Promise<A>,
): Promise<A> => {
  const refused = new Set<Choice>()
  const lessonsDue = new Set<Choice>()
  const refusals: Array<{ readonly refusal: Refusal; readonly cause: unknown; readonly choice: Choice }> = []
  const chosenOf = (optional: Optional) =>
    optional.find(
      (choice) => !refused.has(choice) && !lessons.refuses(choice.lesson.parameter, choice.lesson.value),
    )

  for (;;) {
    const chosen = optionals.flatMap((optional) => chosenOf(optional) ?? [])
    try {
      const answer = await send(Object.fromEntries(chosen.map(({ field, value }) => [field, value])))
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
      if (last !== undefined && isSame(refusal, last.refusal)) lessonsDue.delete(last.choice)
      const choice = refusedChoice(refusal, chosen)
      if (choice === undefined) {
        // A server that requires what was left out: its first words say what was wrong with it.
        const isMissed = refusedChoice(refusal, [...refused]) !== undefined
        throw isMissed ? (refusals[0]?.cause ?? cause) : cause
      }
      refusals.push({ refusal, cause, choice })
      if (isTooHigh(refusal, choice)) {
        for (const each of optionals.find((optional) => optional.includes(choice)) ?? []) refused.add(each)
      } else {
        refused.add(choice)
        lessonsDue.add(choice)
      }
    }
  }
}
