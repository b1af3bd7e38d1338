import { invalidRequest, type ProtocolError } from "./errors.ts"
import { isObject } from "./json.ts"

/** Fields of the Realtime Beta API, each with what to use in its place. */
export const betaSession: Readonly<Record<string, string>> = {
  modalities: "Use 'output_modalities'.",
  voice: "Use 'audio.output.voice'.",
  speed: "Use 'audio.output.speed'.",
  input_audio_format: 'Use \'audio.input.format\', such as {"type":"audio/pcm","rate":24000}.',
  output_audio_format: 'Use \'audio.output.format\', such as {"type":"audio/pcm","rate":24000}.',
  input_audio_transcription: "Use 'audio.input.transcription'.",
  input_audio_noise_reduction: "Use 'audio.input.noise_reduction'.",
  turn_detection: "Use 'audio.input.turn_detection'.",
  max_response_output_tokens: "Use 'max_output_tokens'.",
  temperature: "The operator of the server sets the temperature.",
}

/** The same for the parameters of `response.create`. */
export const betaResponse: Readonly<Record<string, string>> = {
  modalities: "Use 'output_modalities'.",
  voice: "Use 'audio.output.voice'.",
  output_audio_format: 'Use \'audio.output.format\', such as {"type":"audio/pcm","rate":24000}.',
  max_response_output_tokens: "Use 'max_output_tokens'.",
  temperature: "The operator of the server sets the temperature.",
}

/** The refusal of `name`, which `help` tells how to replace. `param` is where it stands. */
export const betaShape = (name: string, help: string, param = name): ProtocolError =>
  invalidRequest(
    "beta_api_shape_disabled",
    `'${name}' belongs to the Realtime Beta API, which is not supported. ${help}`,
    param,
  )

/** The Beta API's formats were strings. */
const formatFault = (format: unknown, param: string): ProtocolError | undefined =>
  typeof format === "string"
    ? betaShape(format, `Use an object, such as {"type":"audio/pcm","rate":24000}.`, param)
    : undefined

/** The error for an audio format of the Beta API in `audio`, if it has one. */
const audioFault = (audio: unknown, path: string): ProtocolError | undefined => {
  if (!isObject(audio)) return undefined
  const { input, output } = audio
  return (
    (isObject(input) ? formatFault(input.format, `${path}.input.format`) : undefined) ??
    (isObject(output) ? formatFault(output.format, `${path}.output.format`) : undefined)
  )
}

/** The error for a field of the Beta API, if the value has one. */
export const betaFault = (
  value: unknown,
  fields: Readonly<Record<string, string>>,
  path: string,
): ProtocolError | undefined => {
  if (!isObject(value)) return undefined
  const found = Object.entries(fields).find(([field]) => Object.hasOwn(value, field))
  return found === undefined
    ? audioFault(value.audio, `${path}.audio`)
    : betaShape(`${path}.${found[0]}`, found[1])
}
