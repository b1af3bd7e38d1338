import { Config, ConfigError, Either, Option } from "effect"
import type { Check } from "./checks.ts"

/** What .env.example and docs/reference/configuration.md say about a variable; both are generated from it. */
export interface VariableDocs {
  readonly name: string
  readonly description: string
  readonly mustBe: string
  readonly unit: Option.Option<string>
  /** As it would be written into `.env`. None if the variable is unset by default. */
  readonly default: Option.Option<string>
  /** What an unset variable means. */
  readonly unset: Option.Option<string>
}

/** An environment variable: a `Config` that carries its documentation. */
export type Variable<A> = Config.Config<A> & { readonly docs: VariableDocs }

/** A heading of the generated pages, with the variables below it. */
export interface Section {
  readonly title: string
  readonly text?: string
  readonly variables: Readonly<Record<string, { readonly docs: VariableDocs }>>
}

const document = <A>(
  config: Config.Config<A>,
  name: string,
  check: Check<unknown>,
  docs: { readonly description: string; readonly default?: string; readonly unset?: string },
): Variable<A> =>
  Object.assign(config, {
    docs: {
      name,
      description: docs.description,
      mustBe: check.mustBe,
      unit: Option.fromNullable(check.unit),
      default: Option.fromNullable(docs.default),
      unset: Option.fromNullable(docs.unset),
    },
  })

const parse = <A>(name: string, check: Check<A>, text: string) =>
  Either.fromOption(check.parse(text), () => {
    const found = check.explain?.(text) ?? `it is ${JSON.stringify(text.slice(0, 100))}`
    const isHidden = check.isSecret === true && check.explain === undefined
    const value = isHidden ? "" : `, but ${found}`
    const advice = check.advice === undefined ? "" : ` ${check.advice}`
    return ConfigError.InvalidData([name], `${name} must be ${check.mustBe}${value}.${advice}`)
  })

/** An empty value counts as unset, because compose files pass unset variables on as empty ones. */
const read = <A>(name: string, check: Check<A>): Config.Config<Option.Option<A>> =>
  Config.string(name).pipe(
    Config.withDefault(""),
    Config.mapOrFail((text) =>
      text.trim() === ""
        ? Either.right(Option.none<A>())
        : Either.map(parse(name, check, text.trim()), Option.some),
    ),
  )

/** A variable with a default, which is written as in `.env` and passes the same check. */
export const variable = <A>(
  name: string,
  check: Check<A>,
  docs: { readonly default: string | number; readonly description: string },
): Variable<A> => {
  const text = String(docs.default)
  const config = Config.mapOrFail(
    read(name, check),
    Option.match({ onNone: () => parse(name, check, text), onSome: Either.right }),
  )
  return document(config, name, check, { description: docs.description, default: text })
}

/** A variable without a default: None when unset. */
export const optional = <A>(
  name: string,
  check: Check<A>,
  docs: { readonly unset?: string; readonly description: string },
): Variable<Option.Option<A>> => document(read(name, check), name, check, docs)

/** A variable whose default is computed when the service starts; `unset` explains it. */
export const computed = <A>(
  name: string,
  check: Check<A>,
  docs: { readonly default: A; readonly unset: string; readonly description: string },
): Variable<A> =>
  document(
    Config.map(
      read(name, check),
      Option.getOrElse(() => docs.default),
    ),
    name,
    check,
    {
      unset: docs.unset,
      description: docs.description,
    },
  )

/** A variable whose empty value means None instead of the default. */
export const emptyMeansNone = (
  name: string,
  check: Check<string>,
  docs: { readonly default: string; readonly description: string },
): Variable<Option.Option<string>> =>
  document(
    Config.string(name).pipe(
      Config.withDefault(docs.default),
      Config.map((text) => (text.trim() === "" ? Option.none() : check.parse(text.trim()))),
    ),
    name,
    check,
    docs,
  )
