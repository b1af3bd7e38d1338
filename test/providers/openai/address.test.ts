import { expect, test } from "bun:test"
import { Option } from "effect"
import { keyHeaders, modelsRouteOf } from "../../../src/providers/openai/address.ts"
import { serverSettings } from "../../support/openai-client.ts"

const bearer = { authorization: "Bearer sk-test" }
const apiKey = { "api-key": "sk-test" }

test.each([
  ["https://api.openai.com/v1", bearer],
  ["https://r.openai.azure.com/openai/v1", apiKey],
  ["https://r.OpenAI.azure.com/openai/deployments/gpt?api-version=2024-10-21", apiKey],
  ["https://r.services.ai.azure.com/openai/v1", apiKey],
  ["https://r.cognitiveservices.azure.com/openai/v1", apiKey],
  ["https://r.openai.azure.us/openai/v1", apiKey],
  ["https://gateway.example/openai/deployments/gpt?api-version=2024-10-21", apiKey],
  ["https://azure.com.example/v1", bearer],
  ["https://openai.azure.com.example/v1", bearer],
])("the key goes to %s in %j", (baseUrl, headers) => {
  expect(keyHeaders(serverSettings(baseUrl))).toEqual(headers)
})

test("a configured header wins", () => {
  const with_ = (name: string) => ({ keyHeader: Option.some(name) })
  expect(keyHeaders(serverSettings("https://ai.example/v1", with_("X-Api-Key")))).toEqual({
    "X-Api-Key": "sk-test",
  })
  const azure = "https://r.openai.azure.com/openai/v1"
  expect(keyHeaders(serverSettings(azure, with_("Authorization")))).toEqual(bearer)
})

test.each([
  ["https://api.openai.com/v1", "https://api.openai.com/v1/models"],
  ["http://localhost:8000/v1/", "http://localhost:8000/v1/models"],
  ["https://api.deepseek.com", "https://api.deepseek.com/models"],
  ["https://ai.example/v1?tenant=a%20b&x=1", "https://ai.example/v1/models?tenant=a%20b&x=1"],
  [
    "https://r.openai.azure.com/openai/deployments/gpt-4o?api-version=2024-10-21",
    "https://r.openai.azure.com/openai/models?api-version=2024-10-21",
  ],
  ["https://r.openai.azure.com/openai/deployments/gpt-4o/", "https://r.openai.azure.com/openai/models"],
])("the models of %s are at %s", (baseUrl, route) => {
  expect(modelsRouteOf(baseUrl)).toBe(route)
})
