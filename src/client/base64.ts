export const decodeBase64 = (base64: string): Uint8Array<ArrayBuffer> => {
  const characters = atob(base64)
  const bytes = new Uint8Array(characters.length)
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = characters.charCodeAt(at)
  return bytes
}

/** Bytes per call: engines limit the number of arguments. */
const pieceBytes = 8192

export const encodeBase64 = (bytes: Uint8Array): string => {
  let characters = ""
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    characters += String.fromCharCode(...bytes.subarray(at, at + pieceBytes))
  }
  return btoa(characters)
}
