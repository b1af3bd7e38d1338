import { Option } from "effect"
import type { ServerLessons } from "./lessons.ts"

/**
 * The models of one server whose chat template opens the thinking in the prompt: their replies have the closing tag only.
 * Plain functions: they run inside a request.
 */
export interface OpenThinkers {
  readonly has: (model: string) => boolean
  /** `isOpen`: a reply has a closing tag without an opening one. Otherwise: a whole reply had none. */
  readonly note: (model: string, isOpen: boolean) => void
}

/** A model that can think does not think in every turn. After so many replies without it, the server has changed. */
const plainReplies = 20

/** As the other lessons say it: the server sends "no text_before </think>". */
const lesson = { parameter: "text_before", value: "</think>", instead: Option.none() }

type KeptLessons = Pick<ServerLessons, "refuses" | "learn" | "forget">

const inMemory = () => {
  const models = new Set<string>()
  return (model: string): KeptLessons => ({
    refuses: () => models.has(model),
    learn: () => models.add(model),
    forget: () => models.delete(model),
  })
}

/** Keeps what it learns as a lesson of the server and model. Without `lessonsOf`, as long as the process. */
export const makeOpenThinkers = (lessonsOf: (model: string) => KeptLessons = inMemory()): OpenThinkers => {
  /** Replies without thinking since the last one with it. */
  const plain = new Map<string, number>()
  return {
    has: (model) => lessonsOf(model).refuses(lesson.parameter, lesson.value),
    note: (model, isOpen) => {
      const lessons = lessonsOf(model)
      if (isOpen) {
        plain.delete(model)
        lessons.learn(lesson)
        return
      }
      if (!lessons.refuses(lesson.parameter, lesson.value)) return
      const count = (plain.get(model) ?? 0) + 1
      plain.set(model, count)
      if (count < plainReplies) return
      plain.delete(model)
      lessons.forget(lesson.parameter, lesson.value)
    },
  }
}
