/** Certificates for tests, made by openssl. */
import { join } from "node:path"

export interface Certificate {
  readonly certificate: string
  readonly key: string
}

const openssl = async (folder: string, args: ReadonlyArray<string>) => {
  const child = Bun.spawn(["openssl", ...args], { cwd: folder, stdout: "ignore", stderr: "pipe" })
  const said = await new Response(child.stderr).text()
  if ((await child.exited) !== 0) throw new Error(`openssl ${args[0]} failed: ${said}`)
}

const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

/** A certificate that signs itself, such as that of a CA. */
export const selfSigned = async (folder: string, name: string): Promise<Certificate> => {
  const [certificate, key] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)]
  const subject = ["-subj", `/CN=${name}`, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
  await openssl(folder, [
    "req",
    "-x509",
    ...newKey,
    "-days",
    "30",
    ...subject,
    "-keyout",
    key,
    "-out",
    certificate,
  ])
  return { certificate, key }
}

/** A certificate for a host, signed by the CA. `days` is negative for one that has expired. */
export const signedBy = async (
  folder: string,
  ca: Certificate,
  { name, host, days = 30 }: { readonly name: string; readonly host: string; readonly days?: number },
): Promise<Certificate> => {
  const [certificate, key] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)]
  const [request, extensions] = [join(folder, `${name}.csr`), join(folder, `${name}.ext`)]
  await Bun.write(extensions, `subjectAltName=${host}\n`)
  await openssl(folder, ["req", ...newKey, "-subj", `/CN=${name}`, "-keyout", key, "-out", request])
  const signer = ["-CA", ca.certificate, "-CAkey", ca.key, "-CAcreateserial"]
  const files = ["-in", request, "-extfile", extensions, "-out", certificate]
  await openssl(folder, ["x509", "-req", ...files, ...signer, "-days", `${days}`])
  return { certificate, key }
}
