import type { ListedModel } from "../../models/ollama-list.ts"

/** `hf.co/owner/Llama-3.2-3B-GGUF:latest` is `llama-3.2-3b-gguf`. */
const plain = (name: string) => (name.split("/").at(-1) ?? name).toLowerCase().replace(/:latest$/, "")

/** Models for embeddings, ranking, moderation, recognition or speech. */
const otherKinds =
  /embed|minilm|paraphrase|(^|[-_])(bge|gte|e5|tts|asr|ocr)([-_:.]|\d|$)|rerank|guard|shieldgemma|whisper|phonon|flux|z-image|bespoke-minicheck/
/** Models that continue a text or a program instead of answering. */
const completers = /[:-](text|base|code|fim)([-:_]|$)|starcoder|stable-code/
const embeddingFamilies = /bert|embed/

const runsHere = ({ name, remote_host }: ListedModel) => !remote_host && !/[:-]cloud$/.test(name)

const chats = ({ name, capabilities, details }: ListedModel): boolean => {
  if (capabilities && capabilities.length > 0 && !capabilities.includes("completion")) return false
  if (embeddingFamilies.test(details?.family?.toLowerCase() ?? "")) return false
  return !otherKinds.test(plain(name)) && !completers.test(plain(name))
}

/** They think before they answer, which is silence to the user. */
const thinkers = /deepseek-r1|deepscaler|qwq|reason|think|magistral|gpt-oss|^qwen-?3(?!.*instruct)/
const coders = /cod(e|er|estral)|devstral|sql/
const talkers =
  /instruct|chat|[-_]it([-_:]|$)|^(llama|gemma|mi(ni)?stral|mixtral|qwen-?2|phi|granite|olmo|smollm|command|aya|hermes|dolphin|vicuna|zephyr|falcon|exaone|tulu)/

const thinks = ({ name, capabilities }: ListedModel): boolean =>
  thinkers.test(plain(name)) || (capabilities?.includes("thinking") === true && !/instruct/.test(plain(name)))

/** The lower, the better for spoken conversation. */
const rankOf = (model: ListedModel): number => {
  const id = plain(model.name)
  if (coders.test(id)) return 3
  if (thinks(model)) return 2
  return talkers.test(id) ? 0 : 1
}

/** In bytes: a model of 8 billion parameters at 4 or 5 bits, which a laptop still answers with in time. */
const comfortable = 6e9

const bySize = (a: ListedModel, b: ListedModel): number => {
  const fits = Number(a.size > comfortable) - Number(b.size > comfortable)
  if (fits !== 0) return fits
  return a.size > comfortable ? a.size - b.size : b.size - a.size
}

/**
 * The name of the model to talk with; undefined if none of the list can chat on this machine. `preferred`, the model of
 * the settings, wins where it is listed. Otherwise chat models come before models that think first, and those before
 * models for code; of each kind the largest up to 6 GB, else the smallest. The order of the list does not matter.
 */
export const chooseChatModel = (
  models: ReadonlyArray<ListedModel>,
  preferred: string,
): string | undefined => {
  const usable = models.filter((model) => runsHere(model) && chats(model))
  const exact = usable.find(({ name }) => plain(name) === plain(preferred))
  const [best] = usable.toSorted(
    (a, b) => rankOf(a) - rankOf(b) || bySize(a, b) || (a.name < b.name ? -1 : 1),
  )
  return (exact ?? best)?.name
}

/** Whether the model with this name thinks before it answers, unless it is told not to. */
export const thinksFirst = (models: ReadonlyArray<ListedModel>, name: string): boolean =>
  models.some((model) => model.name === name && thinks(model))
