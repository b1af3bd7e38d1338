import { describe, expect, test } from "bun:test"
import { Either, Option } from "effect"
import { readArguments } from "../../src/tools/arguments.ts"
import { checkSchema } from "../../src/tools/schema/check.ts"

const many = <A>(count: number, make: (index: number) => A) =>
  Array.from({ length: count }, (_, at) => make(at))
const fields = (count: number, make: (index: number) => readonly [string, unknown]) =>
  Object.fromEntries(many(count, make))
const nested = (levels: number, wrap: (inner: object) => object) =>
  many(levels, () => wrap).reduce((inner: object, each) => each(inner), {})

const read = (parameters: Readonly<Record<string, unknown>>, value: unknown) =>
  readArguments({ name: "tool", description: Option.none(), parameters }, JSON.stringify(value))
const told = (parameters: Readonly<Record<string, unknown>>, value: unknown) =>
  Either.match(read(parameters, value), { onLeft: ({ output }) => output, onRight: () => "fits" })

const doesNotFit = "do not fit"
const tooLong = "too long to check"

/** The schema of one argument, `a`. */
const ofA = (schema: unknown) => ({ properties: { a: schema } })

// Without bounds, each of these takes minutes or the whole stack.
describe("costs little", () => {
  test.each([
    ["^(a+)+$", "a".repeat(40)],
    ["^(a|a)*$", "a".repeat(100_000)],
    ["^(a|aa)+$", "a".repeat(100_000)],
    ["(.*)*x", "a".repeat(100_000)],
    ["(x+x+)+y", "x".repeat(50_000)],
    ["^(([a-z])+.)+[A-Z]([a-z])+$", "a".repeat(10_000)],
    ["^([a-zA-Z0-9])(([\\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+$", "a".repeat(10_000)],
  ])("the pattern %s", (pattern, text) => {
    expect(told(ofA({ pattern }), { a: `${text}!` })).toContain(doesNotFit)
  })

  test("patterns that are not checked", () => {
    for (const pattern of [
      "((a{30}){30}){30}",
      "(a?){500}a{500}",
      "[^x]{1000}".repeat(1500),
      "^(?!b)(a+)+$",
      "(a*)\\1b",
      "(",
    ]) {
      expect(told(ofA({ pattern }), { a: "a".repeat(5000) })).toBe("fits")
      expect(told({ patternProperties: { [pattern]: false } }, { a: 1 })).toBe("fits")
    }
  })

  test("many patterns and many names", () => {
    const patternProperties = fields(500, (at) => [`^(x+)+${at}$`, {}] as const)
    expect(
      told(
        { patternProperties },
        fields(5000, (at) => [`xxxxx${at}`, 1] as const),
      ),
    ).toContain(tooLong)
  })

  test("formats of many texts", () => {
    for (const [format, text] of [
      ["uri", `http://${"xn--a.".repeat(300)}`],
      ["email", "a".repeat(2000)],
      ["time", `00:00:00.${"1".repeat(2000)}`],
      ["date-time", "2026-01-01T00:00:00.000Z"],
    ] as const) {
      const list = ofA({ items: { format } })
      expect(told(list, { a: many(20_000, () => text) })).toContain(tooLong)
      expect(told(list, { a: many(100, () => text) })).not.toContain(tooLong)
    }
  })

  test("many patterns with sets of Unicode", () => {
    const schema = (length: number) =>
      ofA({ allOf: many(length, (at) => ({ pattern: `(?i:\\p{L}\\P{Lu}${at})?` })) })
    expect(told(schema(300), { a: "a" })).toContain(tooLong)
    expect(told(schema(10), { a: "a" })).toBe("fits")
  })

  test.each(["anyOf", "allOf", "oneOf"])("choices that multiply: %s", (keyword) => {
    const $defs = fields(
      25,
      (at) => [`d${at}`, { [keyword]: many(2, () => ({ $ref: `#/$defs/d${at + 1}` })) }] as const,
    )
    expect(told({ $defs, $ref: "#/$defs/d0" }, {})).toContain(tooLong)
  })

  test("choices that multiply with the depth of the value", () => {
    const tree = ofA({ allOf: [{ $ref: "#" }, { $ref: "#" }] })
    expect(
      told(
        tree,
        nested(62, (inner) => ({ a: inner })),
      ),
    ).toContain(tooLong)
  })

  test("references in a circle, which check nothing", () => {
    for (const schema of [
      { $ref: "#" },
      { allOf: [{ $ref: "#" }, { $ref: "#" }] },
      { not: { $ref: "#" } },
      { $ref: "#/$defs/a", $defs: { a: { $ref: "#/$defs/b" }, b: { $ref: "#/$defs/a" } } },
      { $ref: "#/$defs/missing" },
      { $ref: "https://example.com/schema" },
    ]) {
      expect(told(schema, { a: 1 })).toBe("fits")
    }
  })

  test("a schema of 1000 levels", () => {
    expect(told({ allOf: [nested(1000, (inner) => ({ allOf: [inner] }))] }, {})).toBe("fits")
    expect(
      told(
        nested(1000, (inner) => ofA({ type: "object", ...inner })),
        { a: { a: 1 } },
      ),
    ).toContain("#/a/a")
  })

  test("long lists", () => {
    const list = many(5000, (at) => `value ${at}`)
    const objects = many(5000, (at) => ({ at, text: `${at}` }))
    for (const [schema, a] of [
      [{ items: { enum: many(4000, (at) => `other ${at}`) } }, list],
      [{ allOf: many(300, () => ({ uniqueItems: true })) }, objects],
      [{ allOf: many(300, () => ({ contains: { const: 1 } })) }, objects],
      [{ items: { required: many(2000, (at) => `field ${at}`) } }, objects],
      [{ items: { properties: fields(1000, (at) => [`field ${at}`, {}] as const) } }, objects],
      [{ allOf: many(900, () => ({ minLength: 3 })) }, "a".repeat(400_000)],
    ] as const) {
      expect(told(ofA(schema), { a })).toContain(tooLong)
    }
    expect(told(ofA({ uniqueItems: true }), { a: list })).toBe("fits")
    expect(told(ofA({ enum: many(4000, (at) => `value ${at}`) }), { a: "value 3999" })).toBe("fits")
  })

  test("1000 usual objects", () => {
    const item = {
      type: "object",
      properties: { id: { type: "integer", minimum: 0 }, code: { type: "string", pattern: "^x\\d+$" } },
      required: ["id", "code"],
      additionalProperties: false,
    }
    const list = many(1000, (at) => ({ id: at, code: `x${at}` }))
    expect(told(ofA({ type: "array", items: item }), { a: list })).toBe("fits")
    expect(told(ofA({ type: "array", items: item }), { a: [...list, { id: 1.5, code: "y" }] })).toContain(
      "#/a/1000",
    )
  })
})

describe("says what is wrong", () => {
  const wrong = (schema: unknown, value: unknown) => checkSchema(schema, value).problems
  test.each<readonly [unknown, unknown, unknown]>([
    [{ type: "integer" }, 1, 1.5],
    [{ type: ["string", "null"] }, null, 1],
    [{ const: { a: [1, 2] } }, { a: [1, 2] }, { a: [2, 1] }],
    [{ enum: ["a", { b: 1, c: 2 }] }, { c: 2, b: 1 }, "b"],
    [{ minimum: 1, exclusiveMaximum: 3 }, 1, 3],
    [{ multipleOf: 0.1 }, 0.3, 0.35],
    [{ minLength: 2, maxLength: 2 }, "😀😀", "😀"],
    [{ pattern: "^\\u00e4\\d{4}$" }, "ä2024", "ä20245"],
    [{ pattern: "b" }, "abc", "ac"],
    [{ format: "date" }, "2024-02-29", "2023-02-29"],
    [{ format: "date-time" }, "2024-02-29T12:00:00Z", "2024-02-29 noon"],
    [{ format: "email" }, "a@example.com", "a@b@c"],
    [{ format: "email" }, "a@localhost", `${"a".repeat(5000)}@b`],
    [{ format: "ipv6" }, "::1", "1.2.3.4"],
    [{ format: "uri" }, "https://example.com/", "example"],
    [{ required: ["a"] }, { a: 1 }, {}],
    [{ properties: { a: { type: "string" } } }, { a: "" }, { a: 1 }],
    [{ patternProperties: { "^x": { type: "string" } }, additionalProperties: false }, { xy: "" }, { y: "" }],
    [{ propertyNames: { maxLength: 2 } }, { ab: 1 }, { abc: 1 }],
    [{ minProperties: 1, maxProperties: 1 }, { a: 1 }, {}],
    [{ dependentRequired: { a: ["b"] } }, { a: 1, b: 1 }, { a: 1 }],
    [{ prefixItems: [{ type: "string" }], items: { type: "number" } }, ["a", 1], ["a", "b"]],
    [{ items: [{ type: "string" }], additionalItems: false }, ["a"], ["a", 1]],
    [{ contains: { type: "string" }, maxContains: 1 }, [1, "a"], ["a", "b"]],
    [
      { uniqueItems: true },
      [{ a: 1 }, { a: 2 }],
      [
        { a: 1, b: 1 },
        { b: 1, a: 1 },
      ],
    ],
    [{ anyOf: [{ type: "string" }, { type: "number" }] }, 1, true],
    [{ oneOf: [{ minimum: 1 }, { maximum: 5 }] }, 0, 3],
    [{ not: { type: "null" } }, 1, null],
    [{ if: { type: "string" }, else: { minimum: 1 } }, "a", 0],
    [JSON.parse('{"if": {"type": "string"}, "then": {"minLength": 1}}'), "a", ""],
    [{ $ref: "#/$defs/a~1b%25", $defs: { "a/b%": { type: "string" } } }, "a", 1],
    [{ $ref: "#name", $defs: { a: { $anchor: "name", type: "string" } } }, "a", 1],
    [{ allOf: [{ properties: { a: {} } }], unevaluatedProperties: false }, { a: 1 }, { b: 1 }],
    [{ prefixItems: [{}], unevaluatedItems: false }, [1], [1, 2]],
  ])("%j", (schema, right, other) => {
    expect(wrong(schema, right)).toEqual([])
    expect(wrong(schema, other).length).toBeGreaterThan(0)
  })

  test("by path, for at most five problems", () => {
    const schema = ofA({ items: { type: "string" } })
    expect(told(schema, { a: many(50, (at) => at) }).split("\n")).toHaveLength(6)
    expect(told(schema, { a: ["a", 1] })).toContain("#/a/1: must be of type string, and is of type number")
  })
})
