import { dlopen, linkSymbols, ptr, read } from "bun:ffi"

/**
 * Positions in the table of functions of ONNX Runtime's C API (onnxruntime_c_api.h, struct OrtApi). Versions only append
 * to it.
 */
const positions = {
  getErrorMessage: 2,
  createEnv: 3,
  createSessionFromArray: 8,
  run: 9,
  createSessionOptions: 10,
  setIntraOpNumThreads: 24,
  setInterOpNumThreads: 25,
  createTensor: 49,
  createCpuMemoryInfo: 69,
} as const

/** The version of the table that is asked for. The library that sherpa-onnx 1.13.8 brings has 28. */
const apiVersion = 17

const pointerBytes = 8

/** Enumerators of the C API. */
const onlyFatal = 4
const arenaAllocator = 1
const defaultMemory = 0
const elementTypes = { f32: 1, i64: 7 } as const

/** A tensor over memory of ours, which must not be freed. */
type Tensor = bigint

export interface TensorData {
  readonly data: Float32Array | BigInt64Array
  readonly type: keyof typeof elementTypes
  /** Empty for a scalar. */
  readonly shape: ReadonlyArray<number>
}

/** A model that is loaded. All memory that it works on is kept for the life of the process. */
export interface OnnxModel {
  readonly tensor: (data: TensorData) => Tensor
  /** A run over tensors that stay the same; the result runs it. Throws what the runtime reports. */
  readonly bind: (
    inputs: Readonly<Record<string, Tensor>>,
    outputs: Readonly<Record<string, Tensor>>,
  ) => () => void
}

const cString = (text: string) => Buffer.from(`${text}\0`)

/**
 * Loads a model into ONNX Runtime by its C API, on one thread. `library`: the path of its shared library. Throws what the
 * runtime reports.
 */
export const loadOnnxModel = (library: string, model: Uint8Array): OnnxModel => {
  const { symbols } = dlopen(library, { OrtGetApiBase: { args: [], returns: "ptr" } })
  const base = symbols.OrtGetApiBase()
  if (base === null) throw new Error("the runtime has no API")
  const { getApi } = linkSymbols({
    getApi: { ptr: BigInt(read.ptr(base, 0)), args: ["u32"], returns: "ptr" },
  }).symbols
  const table = getApi(apiVersion)
  if (table === null) throw new Error(`the runtime has no API of version ${apiVersion}`)
  const at = (name: keyof typeof positions) => BigInt(read.ptr(table, positions[name] * pointerBytes))
  const api = linkSymbols({
    getErrorMessage: { ptr: at("getErrorMessage"), args: ["ptr"], returns: "cstring" },
    createEnv: { ptr: at("createEnv"), args: ["i32", "ptr", "ptr"], returns: "ptr" },
    createSessionFromArray: {
      ptr: at("createSessionFromArray"),
      args: ["u64", "ptr", "u64", "u64", "ptr"],
      returns: "ptr",
    },
    run: {
      ptr: at("run"),
      args: ["u64", "u64", "ptr", "ptr", "u64", "ptr", "u64", "ptr"],
      returns: "ptr",
    },
    createSessionOptions: { ptr: at("createSessionOptions"), args: ["ptr"], returns: "ptr" },
    setIntraOpNumThreads: { ptr: at("setIntraOpNumThreads"), args: ["u64", "i32"], returns: "ptr" },
    setInterOpNumThreads: { ptr: at("setInterOpNumThreads"), args: ["u64", "i32"], returns: "ptr" },
    createTensor: {
      ptr: at("createTensor"),
      args: ["u64", "ptr", "u64", "ptr", "u64", "i32", "ptr"],
      returns: "ptr",
    },
    createCpuMemoryInfo: { ptr: at("createCpuMemoryInfo"), args: ["i32", "i32", "ptr"], returns: "ptr" },
  }).symbols

  const check = (status: ReturnType<typeof api.createEnv>) => {
    if (status !== null) throw new Error(`${api.getErrorMessage(status)}`)
  }
  /** What a function writes to its last argument. */
  const create = (call: (out: BigUint64Array) => ReturnType<typeof api.createEnv>): bigint => {
    const out = new BigUint64Array(new ArrayBuffer(pointerBytes))
    check(call(out))
    return out[0] ?? 0n
  }

  /** The runtime reads from these later: they must not be collected. */
  const held: Array<unknown> = []
  const hold = <A>(value: A): A => {
    held.push(value)
    return value
  }

  const env = create((out) => api.createEnv(onlyFatal, hold(cString("vad")), out))
  const options = create((out) => api.createSessionOptions(out))
  check(api.setIntraOpNumThreads(options, 1))
  check(api.setInterOpNumThreads(options, 1))
  const session = create((out) => api.createSessionFromArray(env, hold(model), model.length, options, out))
  const memory = create((out) => api.createCpuMemoryInfo(arenaAllocator, defaultMemory, out))

  const pointers = (values: ReadonlyArray<bigint>) => {
    const array = hold(new BigUint64Array(new ArrayBuffer(values.length * pointerBytes)))
    array.set(values)
    return array
  }
  const names = (record: Readonly<Record<string, Tensor>>) =>
    pointers(Object.keys(record).map((name) => BigInt(ptr(hold(cString(name))))))

  return {
    tensor: ({ data, type, shape }) => {
      const dimensions = new BigInt64Array(new ArrayBuffer(Math.max(shape.length, 1) * 8))
      dimensions.set(shape.map(BigInt))
      const bytes = shape.reduce((product, each) => product * each, data.BYTES_PER_ELEMENT)
      return create((out) =>
        api.createTensor(memory, hold(data), bytes, dimensions, shape.length, elementTypes[type], out),
      )
    },
    bind: (inputs, outputs) => {
      const [inputNames, outputNames] = [names(inputs), names(outputs)]
      const [inputTensors, outputTensors] = [
        pointers(Object.values(inputs)),
        pointers(Object.values(outputs)),
      ]
      const [inputCount, outputCount] = [inputNames.length, outputNames.length]
      return () =>
        check(
          api.run(session, 0n, inputNames, inputTensors, inputCount, outputNames, outputCount, outputTensors),
        )
    },
  }
}
