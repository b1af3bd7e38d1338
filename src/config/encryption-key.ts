import { Option } from "effect"

/** AES-256 has keys of 32 bytes. In base64 with or without padding, also in its form for URLs. */
export const parseEncryptionKey = (text: string): Option.Option<Uint8Array> =>
  Option.filter(
    /^[\w+/-]{43}=?$/.test(text) ? Option.some(new Uint8Array(Buffer.from(text, "base64"))) : Option.none(),
    ({ length }) => length === 32,
  )
