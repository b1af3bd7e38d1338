const units =
  "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split(
    " ",
  )
const tens = "twenty thirty forty fifty sixty seventy eighty ninety".split(" ")

/** What a number is misheard as; it counts as one only where the sum needs a number. */
const homophones = new Map([
  ["won", 1],
  ["to", 2],
  ["too", 2],
  ["for", 4],
  ["fore", 4],
  ["ate", 8],
])

const operators: ReadonlyArray<{
  readonly words: readonly string[]
  readonly sign: "+" | "-" | "*" | "/"
  readonly spoken: string
}> = [
  { words: ["plus"], sign: "+", spoken: "plus" },
  { words: ["+"], sign: "+", spoken: "plus" },
  { words: ["added", "to"], sign: "+", spoken: "plus" },
  { words: ["minus"], sign: "-", spoken: "minus" },
  { words: ["-"], sign: "-", spoken: "minus" },
  { words: ["multiplied", "by"], sign: "*", spoken: "times" },
  { words: ["times"], sign: "*", spoken: "times" },
  { words: ["*"], sign: "*", spoken: "times" },
  { words: ["x"], sign: "*", spoken: "times" },
  { words: ["divided", "by"], sign: "/", spoken: "divided by" },
  { words: ["over"], sign: "/", spoken: "divided by" },
  { words: ["/"], sign: "/", spoken: "divided by" },
]

type Operator = (typeof operators)[number]

interface Sum {
  readonly numbers: number[]
  readonly signs: Operator[]
}

/** A number that starts at `at`, in digits or words up to the thousands, and how many words it took. */
const numberAt = (
  words: readonly string[],
  at: number,
): { readonly value: number; readonly length: number } | undefined => {
  const first = words[at] ?? ""
  if (/^\d+(\.\d+)?$/.test(first)) return { value: Number(first), length: 1 }
  let total = 0
  let current = 0
  let length = 0
  for (let word = words[at]; word !== undefined; word = words[at + length]) {
    const unit = units.indexOf(word)
    const ten = tens.indexOf(word)
    if (
      unit >= 0 &&
      (current === 0 ||
        (current % 100 === 0 && current > 0) ||
        (unit < 10 && current % 10 === 0 && current % 100 >= 20))
    ) {
      current += unit
    } else if (ten >= 0 && current % 100 === 0) current += 20 + 10 * ten
    else if (word === "hundred" && length > 0) current *= 100
    else if (word === "thousand" && length > 0) {
      total += current * 1000
      current = 0
    } else if (!(word === "and" && words[at + length - 1] === "hundred")) break
    length += 1
  }
  if (length > 0) return { value: total + current, length }
  const misheard = homophones.get(first)
  return misheard === undefined ? undefined : { value: misheard, length: 1 }
}

const operatorAt = (words: readonly string[], at: number): Operator | undefined =>
  operators.find((operator) => operator.words.every((word, offset) => words[at + offset] === word))

const sumAt = (words: readonly string[], start: number): Sum => {
  const sum: Sum = { numbers: [], signs: [] }
  let at = start
  for (let number = numberAt(words, at); number !== undefined; number = numberAt(words, at)) {
    sum.numbers.push(number.value)
    at += number.length
    const operator = operatorAt(words, at)
    if (operator === undefined) break
    sum.signs.push(operator)
    at += operator.words.length
  }
  // An operator that no number follows belongs to the next sentence.
  return { numbers: sum.numbers, signs: sum.signs.slice(0, Math.max(0, sum.numbers.length - 1)) }
}

/** Times and divided by first, then plus and minus, each from left to right. */
const evaluate = ({ numbers, signs }: Sum): number => {
  const terms: number[] = [numbers[0] ?? 0]
  for (const [index, { sign }] of signs.entries()) {
    const next = numbers[index + 1] ?? 0
    const last = terms.pop() ?? 0
    if (sign === "*") terms.push(last * next)
    else if (sign === "/") terms.push(last / next)
    else terms.push(last, sign === "-" ? -next : next)
  }
  return terms.reduce((total, term) => total + term, 0)
}

/** The answer to a sum in words or digits ("seven times six"), as a sentence; undefined where there is none. */
export const answerSum = (text: string): string | undefined => {
  const words =
    text
      .toLowerCase()
      .replaceAll("×", " * ")
      .replaceAll("÷", " / ")
      .replace(/([a-z])-(?=[a-z])/g, "$1 ")
      .match(/\d+(?:\.\d+)?|[a-z]+|[-+*/]/g) ?? []
  for (const start of words.keys()) {
    const sum = sumAt(words, start)
    if (sum.signs.length === 0) continue
    const asked = sum.numbers
      .map((number, index) => (index === 0 ? `${number}` : `${sum.signs[index - 1]?.spoken} ${number}`))
      .join(" ")
    const value = evaluate(sum)
    if (!Number.isFinite(value)) return `${asked} has no answer: nothing can be divided by zero.`
    const rounded = Math.round(value * 1000) / 1000
    return `${asked} is ${rounded === value ? "" : "about "}${rounded < 0 ? `minus ${-rounded}` : rounded}.`
  }
  return undefined
}
