/** Sends the examples of the document, and checks the responses against it. */
import { expect } from "bun:test"
import type { Service } from "../support/service.ts"
import type { Contract } from "./contract.ts"

export interface Ask {
  /** The service to call. */
  readonly at?: Service
  readonly key?: string
  /** Replaces the id in the path. */
  readonly id?: string
  /** Replaces the second id in the path. */
  readonly innerId?: string
  readonly query?: string
  readonly headers?: Record<string, string>
  /** Replaces the document's example. */
  readonly body?: string | FormData
  readonly audio?: Uint8Array
}

export const formOf = (audio: Uint8Array): FormData => {
  const form = new FormData()
  form.append("audio", new Blob([new Uint8Array(audio)]), "recording")
  return form
}

/** Of RFC 6455, section 1.3. */
const handshake = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}

export const makeAsking = (contract: Contract, service: Service, recording: Uint8Array) => {
  /** Sends the document's example. */
  const ask = (id: string, options: Ask = {}): Promise<Response> => {
    const { at = service, query = "", headers = {}, audio = recording } = options
    const { method, path, operation } = contract.operationOf(id)
    const content = operation.requestBody?.content
    const json = content?.["application/json"]
    const example = json === undefined ? formOf(audio) : JSON.stringify(json.example)
    const body = options.body ?? (content === undefined ? undefined : example)
    const filled = [options.id, options.innerId].reduce<string>(
      (left, id) => left.replace(/\{\w+\}/, id ?? crypto.randomUUID()),
      path,
    )
    return fetch(`${at.url}${filled}${query}`, {
      method,
      headers: {
        ...(options.key === undefined ? {} : { authorization: `Bearer ${options.key}` }),
        ...(json === undefined ? {} : { "content-type": "application/json" }),
        ...("101" in operation.responses ? handshake : {}),
        ...headers,
      },
      ...(body === undefined ? {} : { body }),
    })
  }

  /** Expects a documented outcome: an error code or a status. */
  const expectOutcome = async (id: string, outcome: string | number, options: Ask = {}): Promise<unknown> => {
    const answer = await ask(id, options)
    const { status } = answer
    const body = await contract.check(id, answer)
    if (typeof outcome === "number") expect([id, status]).toEqual([id, outcome])
    else expect(body).toMatchObject({ error: outcome })
    return body
  }

  /** The same for every operation with this outcome: "401 UNAUTHORIZED". */
  const expectOfAll = async (outcome: string, options: Ask): Promise<void> => {
    const all = contract.having(outcome)
    expect(all.length).toBeGreaterThan(0)
    for (const { id } of all) await expectOutcome(id, outcome.replace(/^\d+ /, ""), options)
  }

  return { ask, expectOutcome, expectOfAll }
}
export type Asking = ReturnType<typeof makeAsking>
