/**
 * Writes small ONNX models, so that tests can run the loaders of the engines without weights. Field numbers are those of
 * onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3).
 */

const utf8 = (text: string) => new TextEncoder().encode(text)

const varint = (value: number | bigint): ReadonlyArray<number> => {
  const bytes: Array<number> = []
  // Negative numbers are written in two's complement of 64 bits.
  let rest = BigInt.asUintN(64, BigInt(value))
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128)
    rest >>= 7n
  }
  return [...bytes, Number(rest)]
}

type Field = readonly [number: number, value: number | string | Uint8Array]

/** A message of protobuf. Numbers are varints; strings and bytes have their length before them. */
const message = (fields: ReadonlyArray<Field>): Uint8Array =>
  Buffer.concat(
    fields.map(([number, value]) => {
      if (typeof value === "number") return Uint8Array.from([...varint(number << 3), ...varint(value)])
      const bytes = typeof value === "string" ? utf8(value) : value
      return Buffer.concat([Uint8Array.from([...varint((number << 3) | 2), ...varint(bytes.length)]), bytes])
    }),
  )

const elementTypes = { float: 1, int32: 6, int64: 7 } as const
type ElementType = keyof typeof elementTypes

export interface Tensor {
  readonly type: ElementType
  readonly shape: ReadonlyArray<number>
  readonly values: ReadonlyArray<number>
}

export const floats = (shape: ReadonlyArray<number>, values: ReadonlyArray<number>): Tensor => ({
  type: "float",
  shape,
  values,
})

export const integers = (...values: ReadonlyArray<number>): Tensor => ({
  type: "int64",
  shape: [values.length],
  values,
})

const rawOf = ({ type, values }: Tensor): Uint8Array => {
  const array =
    type === "float"
      ? Float32Array.from(values)
      : type === "int32"
        ? Int32Array.from(values)
        : BigInt64Array.from(values.map(BigInt))
  return new Uint8Array(array.buffer)
}

const tensor = (name: string, its: Tensor) =>
  message([
    ...its.shape.map((size): Field => [1, size]),
    [2, elementTypes[its.type]],
    [8, name],
    [9, rawOf(its)],
  ])

/** A named dimension has any size. */
export interface Value {
  readonly name: string
  readonly type: ElementType
  readonly shape: ReadonlyArray<number | string>
}

const valueInfo = ({ name, type, shape }: Value) => {
  const dimensions = shape.map(
    (size): Field => [1, message([typeof size === "number" ? [1, size] : [2, size]])],
  )
  const tensorType = message([
    [1, elementTypes[type]],
    [2, message(dimensions)],
  ])
  return message([
    [1, name],
    [2, message([[1, tensorType]])],
  ])
}

export interface Node {
  readonly operator: string
  readonly inputs: ReadonlyArray<string>
  readonly outputs: ReadonlyArray<string>
  readonly attributes?: Readonly<Record<string, number | ReadonlyArray<number>>>
}

const integerType = 2
const integersType = 7

const node = ({ operator, inputs, outputs, attributes = {} }: Node) =>
  message([
    ...inputs.map((name): Field => [1, name]),
    ...outputs.map((name): Field => [2, name]),
    [4, operator],
    ...Object.entries(attributes).map(([name, value]): Field => {
      const fields: ReadonlyArray<Field> =
        typeof value === "number"
          ? [
              [3, value],
              [20, integerType],
            ]
          : [...value.map((each): Field => [8, each]), [20, integersType]]
      return [5, message([[1, name], ...fields])]
    }),
  ])

export interface Model {
  readonly inputs: ReadonlyArray<Value>
  readonly outputs: ReadonlyArray<Value>
  readonly constants?: Readonly<Record<string, Tensor>>
  readonly nodes: ReadonlyArray<Node>
  readonly metadata?: Readonly<Record<string, string | number>>
}

/** The bytes of an .onnx file, opset 13. */
export const onnx = ({ inputs, outputs, constants = {}, nodes, metadata = {} }: Model): Uint8Array => {
  const graph = message([
    ...nodes.map((each): Field => [1, node(each)]),
    [2, "fake"],
    ...Object.entries(constants).map(([name, its]): Field => [5, tensor(name, its)]),
    ...inputs.map((each): Field => [11, valueInfo(each)]),
    ...outputs.map((each): Field => [12, valueInfo(each)]),
  ])
  return message([
    // The version of the format (ir_version) that belongs to opset 13.
    [1, 7],
    [7, graph],
    [8, message([[2, 13]])],
    ...Object.entries(metadata).map(
      ([key, value]): Field => [
        14,
        message([
          [1, key],
          [2, `${value}`],
        ]),
      ],
    ),
  ])
}

/** A node with one output. */
export const apply = (
  operator: string,
  inputs: ReadonlyArray<string>,
  output: string,
  attributes: Node["attributes"] = {},
): Node => ({ operator, inputs, outputs: [output], attributes })
