import { describe, expect, test } from "bun:test"
import { FastCheck as fc } from "effect"
import { finish, push, withoutMarkup } from "../../src/text/machine-markup.ts"
import { initialState, type MarkupState } from "../../src/text/markup-state.ts"

/** The reply after its last retraction, as the filter passes it on. */
const filtered = (chunks: ReadonlyArray<string>) => {
  let state: MarkupState = initialState
  let text = ""
  const add = ([next, more]: readonly [MarkupState, string]) => {
    text = next.retractions > state.retractions ? more : text + more
    state = next
  }
  for (const chunk of chunks) add(push(state, chunk))
  add(finish(state))
  return { text, state }
}

/** Chunks of 1 to 7 units. */
const split = (reply: string, seed: number) => {
  const chunks: Array<string> = []
  let n = seed
  for (let at = 0; at < reply.length; ) {
    n = (n * 48271) % 2147483647
    const size = 1 + (n % 7)
    chunks.push(reply.slice(at, at + size))
    at += size
  }
  return chunks
}

const paris = "The capital of France is Paris."

const removed: ReadonlyArray<readonly [string, string]> = [
  ["think", `<think>\nOkay, the user asks. I answer briefly.\n</think>\n\n${paris}`],
  ["thinking", `<thinking>Hm.</thinking>${paris}`],
  ["reasoning in capitals", `<REASONING>Hm.</REASONING>\n${paris}`],
  ["thought with spaces", `< thought >Hm.</ thought >\n${paris}`],
  ["thinking closed as think", `<thinking>Hm.</think>${paris}`],
  ["an attribute", `<think effort="low">Hm.</think>${paris}`],
  ["an empty block", `<think>\n\n</think>\n\n${paris}`],
  ["an empty tag", `<think/>${paris}`],
  ["analysis", `<analysis>Hm.</analysis>${paris}`],
  ["reason", `<reason>Hm.</reason>\n${paris}`],
  ["thinking_process", `<thinking_process>Hm.</thinking_process>${paris}`],
  ["details", `<details type="reasoning" done="true">\n<summary>Thought</summary>Hm.</details>\n${paris}`],
  ["im_end without bars", `${paris}<im_end>`],
  ["im_start without bars", `<im_start>assistant\n${paris}</im_end>`],
  ["a block in a block", `<think>a<think>b</think>c</think>${paris}`],
  ["blocks in a block", `<think>a<think>b</think>c<think>d<think></think></think>e</think>\n${paris}`],
  ["a tag named in its block", `<think>I write <think> first.</think>${paris}`],
  ["a closing tag at the end", `${paris}</think>`],
  ["a closing tag before white space", `${paris}\n</think>\n \n`],
  ["closing tags at the end", `${paris}</think></think><|im_end|>`],
  ["two blocks", `<think>a</think><think>b</think>${paris}`],
  ["other tags inside", `<think>a <b> c < d </reasoning> [1] \`</x>\` </think>${paris}`],
  ["white space before", ` \n<think>Hm.</think>\n${paris}`],
  ["Magistral", `[THINK]Hm.[/THINK]${paris}`],
  ["Kimi-VL", `◁think▷Hm.◁/think▷${paris}`],
  ["Seed-OSS", `<seed:think>Hm.</seed:think>${paris}`],
  ["MedGemma", `<unused94>thought\nHm.<unused95>${paris}`],
  ["Cohere", `<|START_THINKING|>Hm.<|END_THINKING|><|START_RESPONSE|>${paris}<|END_RESPONSE|>`],
  [
    "OpenThinker",
    `<|begin_of_thought|>Hm.<|end_of_thought|>\n<|begin_of_solution|>${paris}<|end_of_solution|>`,
  ],
  ["a template that opens", `Okay, the user asks. Hm.\n</think>\n\n${paris}`],
  ["a template that opens Magistral", `Hm.[/THINK]${paris}`],
  ["a stray closing tag", `</think>\n\n${paris}`],
  [
    "harmony",
    `<|channel|>analysis<|message|>The user asks.<|end|><|start|>assistant<|channel|>final<|message|>${paris}<|return|>`,
  ],
  [
    "harmony with a tool",
    `<|channel|>commentary to=functions.x <|constrain|>json<|message|>{"a":1}<|call|><|start|>assistant<|channel|>final<|message|>${paris}`,
  ],
  ["harmony without a channel", `<|start|>assistant<|message|>${paris}<|end|>`],
  ["Gemma's channel", `<|channel>thought\nHm.<channel|>${paris}`],
  ["harmony whose tokens are gone, after white space", `\n analysisThe user asks.assistantfinal${paris}`],
  ["harmony whose tokens are gone", `analysisThe user asks. assistant.assistantfinal${paris}`],
  ["a closing tag at the end of a line", `So I say that </think>\n${paris}`],
  ["a closing tag after its sentence", `I say that. </think> ${paris}`],
  ["a closing tag without spaces", `I say that</think>${paris}`],
  ["thinking in a sentence", `The capital of <think>It is Rome, no.</think> France is Paris.`],
  ["a call in a sentence", `The capital of <function>{"name":"x"}</function> France is Paris.`],
  ["thinking on a line of its own", `${paris}\n  <think>Is that so`],
  ["a call on a line of its own", `${paris}\n<tools>\nx`],
  ["a call after a word", `The capital of France is Paris. <tool_call> {"name":"x"}`],
  ["calls after a word", `The capital of France is Paris. <tool_calls>\n[{"name":"x"}]`],
  ["im_end", `${paris}<|im_end|>`],
  ["a header", `<|im_start|>assistant\n${paris}<|im_end|>`],
  ["a header in capitals", `<|IM_START|>Assistant\n${paris}`],
  ["eot_id", `${paris}<|eot_id|>`],
  ["Llama's header", `<|start_header_id|>assistant<|end_header_id|>\n\n${paris}<|eot_id|>`],
  ["endoftext", `${paris}<|endoftext|>`],
  ["spaces in a token", `${paris}<| im_end |>`],
  ["Gemma's turn", `<start_of_turn>model\n${paris}<end_of_turn>`],
  ["Gemma's other turn", `<|turn>model\n${paris}<turn|>`],
  ["unused", `${paris}<unused12>`],
  ["eos", `<s>${paris}</s>`],
  ["eos by name", `<bos>${paris}<eos>`],
  ["INST", `[INST]${paris}[/INST]`],
  ["INST at the end", `${paris}[INST]`],
  ["channel", `${paris}<channel|>`],
  ["DeepSeek", `${paris}<｜end▁of▁sentence｜>`],
  ["DeepSeek's speaker", `<｜Assistant｜>${paris}`],
  [
    "the user's next turn",
    `${paris}<|im_end|>\n<|im_start|>user\nAnd Rome?<|im_end|>\n<|im_start|>assistant\nRome.`,
  ],
  ["Phi's next turn", `${paris}<|end|>\n<|user|>\nAnd Rome?<|end|>\n<|assistant|>\nRome.`],
  ["Mistral's next turn", `${paris}</s>[INST] And Rome? [/INST] Rome.`],
  ["the system prompt", `<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>assistant\n${paris}`],
  ["<<SYS>>", `<<SYS>>Be brief.<</SYS>>${paris}`],
  ["tool_call", `<tool_call>{"name":"x","arguments":{"a":"<b>"}}</tool_call>${paris}`],
  [
    "tool_call after",
    `${paris}<tool_call>\n<function=x>\n<parameter=a>1</parameter>\n</function>\n</tool_call>`,
  ],
  ["a tool_call that is not closed", `${paris}<tool_call>{"name":"x"}`],
  ["function_call", `<function_call>{"name":"x"}</function_call>\n${paris}`],
  ["function=", `<function=get_time>{"zone": "UTC"}</function>${paris}`],
  ["Phi's tool_call", `${paris}<|tool_call|>[{"name":"x"}]<|/tool_call|>`],
  ["python_tag", `${paris}<|python_tag|>print(1)`],
  ["TOOL_CALLS", `${paris}[TOOL_CALLS][{"name":"x"}]`],
  [
    "Kimi's tools",
    `${paris}<|tool_calls_section_begin|><|tool_call_begin|>f:0<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>`,
  ],
  [
    "DeepSeek's tools",
    `${paris}<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>x<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
  ],
  [
    "DeepSeek's other tools",
    `${paris}<｜DSML｜function_calls><｜DSML｜invoke name="x"></｜DSML｜invoke></｜DSML｜function_calls>`,
  ],
  ["answer", `<answer>${paris}</answer>`],
  ["thinking and an answer", `<think>Hm.</think>\n<answer>\n${paris}</answer>`],
  ["response, output, final", `<Response><output><FINAL>${paris}</FINAL></output></Response>`],
  ["speak", `<speak>${paris}</speak>`],
  ["speak with a namespace", `<speak version="1.0" xml:lang='en'>${paris}</speak>`],
  ["a break", `The capital of France <break time="500ms"/>is Paris.`],
  ["a break between spaces", `The capital of France <break/> is Paris.`],
  ["a break between words", `The capital of France<BREAK strength=weak />is Paris.`],
  ["prosody", `The <prosody rate="slow" pitch="+2st">capital</prosody> of France is Paris.`],
  ["emphasis in a word", `The capital of Fr<emphasis>an</emphasis>ce is Paris.`],
  [
    "say-as and phoneme",
    `The <say-as interpret-as="x">capital</say-as> of <phoneme ph="a">France</phoneme> is Paris.`,
  ],
  [
    "sub and voice",
    `<voice name="a">The capital of <sub alias="the Republic">France</sub> is Paris.</voice>`,
  ],
  ["paragraphs", `<p><s>The capital of France</s><s>is Paris.</s></p>`],
  [
    "vendors' SSML",
    `<mstts:express-as style="sad">The <amazon:effect name="a">capital</amazon:effect> of France is Paris.</mstts:express-as>`,
  ],
]

const kept = [
  "analysis of the data: final",
  "analysis",
  "ana ",
  paris,
  "",
  "trailing \n",
  "a < b and c > d",
  "a<b",
  "if x < s and y > p",
  "I <3 you",
  "a <- b <= c << d <> e",
  "x <| f |> y",
  "List<String>, Map<K, V>, Promise<Response>, List<S>",
  "<b>bold</b> <i>x</i> <br> <div>",
  "<https://example.com>",
  "[1] [link](https://example.com) [Think](x) [ ] [x] [a] [INAUDIBLE] [instant]",
  "[Think about it] and [args]",
  "<details><summary>More</summary>Paris</details>",
  "<details open>Paris</details>",
  "Write `<think>` and `</think>` to think.",
  "``a ` <think>`` and more",
  "```xml\n<think>\n</think>\n<|im_end|>\n```\nDone.",
  "~~~\n<answer>\n~~~\nDone.",
  "~5 and ~~gone~~ `unclosed\nnext",
  "<thinker> <thin> <speaker> <breakfast> <pp>",
  "<think about it",
  "<break time=",
  "Wrap it in a <tools> element, and add one <function> for each.",
  "The <parameter> of a <tool_call> is JSON.",
  "Models write <think> before they answer, and [THINK] too.",
  "Then ◁think▷ begins.",
  'A list: - <think>: thinking, - <invoke name="x">: a call.',
  "It closes the block with </think> and then answers.",
  "The end is [/THINK], then the answer.",
  "What does </think> do?",
  "The tag is </think>",
  "The tokens <|user|> and <|python_tag|> are special.",
  "ChatML uses <|im_start|> user, and Llama [INST] there.",
  'In (<|system|>) or "<|user|>" there is a bar, and <|channel|> has two.',
  "See [TOOL_CALLS] in the guide.",
  "analysisParalysis is a word.",
  "analysisParalysis and a <tools> element.",
  "the end <",
  "the end <thi",
  "the end [THIN",
  "the end `",
  "◁ left ▷",
  "日本語 < 中文",
  `<${"x".repeat(400)}>`,
  `<p ${"a=b ".repeat(100)}>`,
]

describe("a whole reply", () => {
  test.each(removed)("%s", (_, reply) => {
    expect(withoutMarkup(reply).trimEnd()).toBe(paris)
  })

  test.each(kept)("keeps %j", (reply) => {
    expect(withoutMarkup(reply)).toBe(reply)
  })

  test.each([
    "<think>\nOkay, the user",
    " \n <think> Okay, the user",
    "<think>Hm.</think>",
    "[THINK]Hm.",
    "<|channel|>analysis<|message|>Hm.<|end|>",
    "<|channel>thought\nHm.",
  ])("%j has no words, and the model thought", (reply) => {
    const { text, state } = filtered([reply])
    expect(text).toBe("")
    expect(state.hasThought).toBe(true)
  })

  test("a block in a sentence is hidden, and a mention after it is not", () => {
    expect(withoutMarkup("Use <tools> a </tools> and <tools> b.")).toBe("Use and <tools> b.")
    expect(withoutMarkup("Use <tools> and <think>Hm.</think> so.")).toBe("Use <tools> and so.")
  })

  test("a second closing tag retracts nothing", () => {
    expect(withoutMarkup("<think>a</think>Yes. </think>No.")).toBe("Yes. No.")
  })
})

describe("a reply in chunks", () => {
  const replies = [...removed.map(([, reply]) => reply), ...kept]

  test("every cut in two gives the same", () => {
    for (const reply of replies) {
      const whole = withoutMarkup(reply)
      for (let at = 0; at <= reply.length; at++) {
        expect(filtered([reply.slice(0, at), reply.slice(at)]).text).toBe(whole)
      }
    }
  })

  test("single characters, and random cuts, give the same", () => {
    for (const reply of replies) {
      const whole = withoutMarkup(reply)
      expect(filtered(reply.split("")).text).toBe(whole)
      for (let seed = 1; seed <= 20; seed++) {
        expect(filtered(split(reply, seed)).text).toBe(whole)
      }
    }
  })

  const words = [
    "Paris",
    " is",
    "\n",
    " ",
    ".",
    "<",
    ">",
    "`",
    "```",
    "~~~",
    "[",
    "a < b",
    "é😀",
    "assistant",
    "analysisThe",
    "assistantfinal",
    " a ",
    " {",
  ]
  const tags = removed.flatMap(([, reply]) => reply.match(/<[^<>]*>|\[[^\][]*\]|◁[^▷]*▷/gu) ?? [])
  const anyReply = fc.array(fc.constantFrom(...words, ...words, ...words, ...tags), { maxLength: 12 })

  test("any mixture of tags and words, however it is cut, gives the same", () => {
    fc.assert(
      fc.property(anyReply, fc.integer({ min: 1, max: 1_000_000 }), (parts, seed) => {
        const reply = parts.join("")
        const whole = withoutMarkup(reply)
        expect(filtered(parts).text).toBe(whole)
        expect(filtered(split(reply, seed)).text).toBe(whole)
        expect(filtered(Array.from(reply)).text).toBe(whole)
      }),
      { numRuns: 2000 },
    )
  })

  test("text without a tag passes as it comes", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "grapheme" }), { minLength: 1 }), (chunks) => {
        const plain = chunks.map((chunk) => chunk.replace(/[<[◁`~]/g, "x"))
        expect(filtered(plain).text).toBe(plain.join("").trimStart())
      }),
    )
  })

  test.each([
    ["a word after a word", ["Hello", " there"], ["Hello", " there"]],
    ["a less-than sign", ["a <", " b", " c"], ["a ", "", "< b c"]],
    ["a number after it", ["I <", "3"], ["I ", "<3"]],
    ["a type", ["List<", "Str", "ing>"], ["List", "<Str", "ing>"]],
    ["a link", ["See [", "this"], ["See ", "[this"]],
    ["a tag", ["Yes <thi", "nk>Hm.</think> No"], ["Yes ", "No"]],
    ["code", ["Use `", "<think>", "` here"], ["Use ", "`<think>", "` here"]],
  ] as const)("waits only as long as it has to: %s", (_, chunks, expected) => {
    let state: MarkupState = initialState
    const passed = chunks.map((chunk) => {
      const [next, text] = push(state, chunk)
      state = next
      return text
    })
    expect(passed).toEqual([...expected])
  })
})

test("white space before the reply is dropped", () => {
  for (const space of [" ", "\n\n", "\t", "\u2028", "\u00a0", "\r\n", "\n".repeat(1000)]) {
    for (const reply of [
      `${space}Paris.`,
      `${space}<think>a</think>${space}Paris.`,
      `${space}<s>${space}Paris.`,
    ]) {
      expect(withoutMarkup(reply)).toBe("Paris.")
      expect(filtered(Array.from(reply)).text).toBe("Paris.")
    }
    expect(filtered(Array.from(space)).text).toBe("")
  }
  expect(withoutMarkup("\n```\n  Paris\n```")).toBe("```\n  Paris\n```")
})

/** The work for a token is that for the text that waits. Units. */
const mostHeld = 400
test.each(["\n", " ", "\u2028", "`", "~", "`~", "` ", "<", "< ", "<p ", "<think", "[", "&", "{", "◁"])(
  "a run of %j waits in bounds",
  (unit) => {
    for (const before of ["", "A", "```\n", "`", "<|im_start|>", "<|channel|>", "<think>"]) {
      let state: MarkupState = initialState
      let held = 0
      for (const chunk of [before, ...Array.from(unit.repeat(3000))]) {
        state = push(state, chunk)[0]
        const size = Object.values(state).reduce((sum, its) => sum + `${its}`.length, 0)
        held = Math.max(held, size)
      }
      expect(held).toBeLessThan(mostHeld)
    }
  },
)
