import { Redacted } from "effect"
import { defaultMaxRealtimeSessions, defaultMaxTurns, defaultMaxUploads, hostResources } from "../capacity.ts"
import {
  databaseUrl,
  encryptionKey,
  encryptionKeys,
  flag,
  headerList,
  kilobytesPerSecond,
  limitAmount,
  megabytes,
  minutes,
  names,
  networks,
  number,
  ollamaAddress,
  oneOf,
  origins,
  orNone,
  seconds,
  secret,
  someOf,
  text,
  timeout,
  voices,
  webUrl,
  whole,
} from "./checks.ts"
import { noPrices, prices } from "./prices.ts"
import { environment, shared, stageVariables } from "./stages.ts"
import { noStdioServers, stdioServers } from "./stdio-servers.ts"
import { computed, emptyMeansNone, optional, type Section, variable } from "./variable.ts"

export const breaker = {
  breakerFailures: variable("BREAKER_FAILURES", whole(0, 1000), {
    default: 5,
    description:
      "Failures in a row after which a server is not called for a while. A single turn counts as at most 3 failures. 0 turns the circuit breaker off.",
  }),
  breakerPause: variable("BREAKER_SECONDS", timeout, {
    default: 10,
    description: "How long a failing server is not called.",
  }),
}

export const stt = stageVariables("STT", {
  model: "whisper-1",
  timeout: 30,
  timeoutCovers: "the whole transcript",
})
export const sttOptions = {
  sttResponseFormat: optional("STT_RESPONSE_FORMAT", oneOf("verbose_json", "json", "text"), {
    unset: "`verbose_json` for models with `whisper` in their name, otherwise `json`",
    description:
      "The `response_format` of transcriptions. Only `verbose_json` has the segments from which silence is removed.",
  }),
  sttLanguage: optional("STT_LANGUAGE", text, {
    unset: "detected",
    description: "The language of the speakers as an ISO 639-1 code, such as `en` or `de`.",
  }),
}

export const llm = stageVariables("LLM", {
  model: "gpt-3.5-turbo",
  timeout: 10,
  timeoutCovers: "to the first token, and for each silence after it",
})
export const llmOptions = {
  llmThinkingTimeout: variable("LLM_THINKING_TIMEOUT_SECONDS", timeout, {
    default: 60,
    description:
      "How long a model may think, or a server keep the connection open, before the first text and between two texts. It needs to be longer than `LLM_TIMEOUT_SECONDS` to have an effect. `TURN_TIMEOUT_SECONDS` ends the turn all the same.",
  }),
  llmMaxTokens: variable("LLM_MAX_TOKENS", orNone(whole(1, 100_000)), {
    default: 500,
    description: "The maximum number of tokens in a reply. `none` sends no limit.",
  }),
  ollama: computed("OLLAMA", flag, {
    default: true,
    unset: "on",
    description:
      "Looks for a local Ollama with a chat model, at start and then until one is found, and uses it, where the language model would run on the offline engines.",
  }),
  ollamaUrl: optional("OLLAMA_HOST", ollamaAddress, {
    unset: "127.0.0.1:11434",
    description: "The address of Ollama.",
  }),
  llmTemperature: variable("LLM_TEMPERATURE", orNone(number(0, 2)), {
    default: 0.7,
    description: "The sampling temperature. `none` sends none.",
  }),
}

export const tts = stageVariables("TTS", {
  model: "tts-1",
  timeout: 10,
  timeoutCovers: "to the first byte, and for each silence after it",
})
export const ttsOptions = {
  ttsVoice: variable("TTS_VOICE", text, { default: "alloy", description: "The voice." }),
  ttsMaxCharacters: optional("TTS_MAX_CHARACTERS", whole(50, 4096), {
    unset: "about 400, in a language without spaces about 130",
    description:
      "The most characters of one speech request, for a provider with a limit. A longer sentence is cut at a clause or a word.",
  }),
  ttsFormat: optional("TTS_FORMAT", oneOf("mp3", "opus", "aac", "flac", "wav", "pcm"), {
    unset: "`mp3` for clients that get MP3, otherwise `pcm`; another if the server refuses it",
    description:
      "The `response_format` of speech requests. Speech in another format than that of the reply is converted.",
  }),
}

export const conversation = {
  systemPrompt: emptyMeansNone("SYSTEM_PROMPT", text, {
    default:
      "You are a helpful voice assistant. Keep responses concise and natural for voice conversation. Maximum 2-3 sentences.",
    description: "The instructions for the language model. An empty value sends none.",
  }),
  contextMessages: variable("CONTEXT_MESSAGES", whole(0, 1000), {
    default: 20,
    description:
      "How many of the session's newest messages the model sees. A series of tool calls is seen as a whole, back to the user's newest message.",
  }),
  contextTokens: variable("CONTEXT_TOKENS", whole(0, 1_000_000), {
    default: 3000,
    description:
      "Estimated tokens of history that the model sees. Older turns are left out, or summarized: see `CONTEXT_SUMMARIES`.",
  }),
  contextSummaries: computed("CONTEXT_SUMMARIES", flag, {
    default: true,
    unset: "on",
    description:
      "Once a conversation is longer than the model sees, its older half is summarized for the model. That takes a request to the language model every few turns, after a turn and without delaying the next one.",
  }),
  turnTimeout: variable("TURN_TIMEOUT_SECONDS", timeout, {
    default: 60,
    description: "The time limit from the end of the upload to the first audio, retries included.",
  }),
  sessionTimeout: variable("SESSION_TIMEOUT_MINUTES", minutes(0.001, 525_600), {
    default: 30,
    description: "Idle time after which a session expires: it can be read, but takes no further turns.",
  }),
  sessionRetentionDays: variable(
    "SESSION_RETENTION_DAYS",
    { ...number(0, 36_500), unit: "days" },
    {
      default: 0,
      description: "Idle time after which a session is deleted. 0 keeps every session that has a message.",
    },
  ),
}

export const tools = {
  builtIn: variable("BUILT_IN_TOOLS", someOf("time", "memory"), {
    default: "time",
    description:
      "The built-in tools: `time` gives the date and the time, `memory` remembers facts about a user for later conversations.",
  }),
  maxRounds: variable("TOOL_MAX_ROUNDS", whole(2, 50), {
    default: 8,
    description:
      "How often the model answers in one turn, if it calls tools that the service runs. The last answer is offered no tools.",
  }),
  callTimeout: variable("TOOL_TIMEOUT_SECONDS", timeout, {
    default: 20,
    description: "The time limit of one tool call. After it, the model learns that the call took too long.",
  }),
  fillerAfter: variable("TOOL_FILLER_SECONDS", seconds(0, 60), {
    default: 1.2,
    description:
      'After this silence while a tool runs, the agent says one sentence, such as "One moment." 0 turns it off.',
  }),
  filler: optional("TOOL_FILLER", text, {
    unset: "one in the language of the conversation",
    description: "That sentence, for conversations in every language.",
  }),
}

export const agents = {
  sttModels: computed("AGENT_STT_MODELS", names, {
    default: [],
    unset: "none",
    description:
      "Models for speech recognition that agents of users may choose besides the configured one, separated by commas.",
  }),
  llmModels: computed("AGENT_LLM_MODELS", names, {
    default: [],
    unset: "none",
    description:
      "Language models that agents of users may choose besides the configured one, separated by commas.",
  }),
  ttsModels: computed("AGENT_TTS_MODELS", names, {
    default: [],
    unset: "none",
    description:
      "Models for speech synthesis that agents of users may choose besides the configured one, separated by commas.",
  }),
  voices: computed("AGENT_VOICES", names, {
    default: [],
    unset: "none",
    description: "Voices that agents of users may choose besides the configured one, separated by commas.",
  }),
}

export const audio = {
  maxAudioBytes: variable("MAX_AUDIO_SIZE_MB", megabytes(0.001, 2048), {
    default: 25,
    description: "The maximum size of a recording.",
  }),
  maxAudioSeconds: variable(
    "MAX_AUDIO_DURATION_SECONDS",
    { ...number(0.1, 86_400), unit: "seconds" },
    {
      default: 300,
      description: "The maximum duration of a recording.",
    },
  ),
  silenceDbfs: variable(
    "SILENCE_DBFS",
    { ...number(-120, 0), unit: "dBFS" },
    {
      default: -60,
      description:
        "A recording that is nowhere louder than this for 60 ms is rejected as silence before any provider is called. A DC offset and clicks do not count. 0 accepts every recording.",
    },
  ),
  uploadTimeout: variable("UPLOAD_TIMEOUT_SECONDS", timeout, {
    default: 120,
    description: "The time limit for the body of an upload.",
  }),
  uploadMinRate: variable("UPLOAD_MIN_KB_PER_SECOND", kilobytesPerSecond(0, 1024), {
    default: 1,
    description: "An upload that is slower than this for 15 s is ended. 0 turns the check off.",
  }),
  uploadSpace: optional("UPLOAD_SPACE_MB", megabytes(0, 100_000_000), {
    unset: "half of the space that is free there at the start",
    description: "How much of `TMPDIR` recordings may take. 0 turns the limit off.",
  }),
  clientTimeout: variable("LISTENER_TIMEOUT_SECONDS", timeout, {
    default: 60,
    description: "A client that reads nothing of a response for this long counts as disconnected.",
  }),
  ffmpegPath: variable("FFMPEG_PATH", text, {
    default: "ffmpeg",
    description: "The ffmpeg program: a name on the PATH, or a path.",
  }),
  ffmpegWarm: variable("FFMPEG_WARM", whole(0, 2), {
    default: 2,
    description:
      "How many ffmpeg processes are started before a recording arrives. Each takes about 10 MB of memory and saves a turn the start of ffmpeg.",
  }),
}

export const interruption = {
  minMs: variable(
    "REALTIME_INTERRUPTION_MIN_MS",
    { ...whole(0, 10_000), unit: "ms" },
    {
      default: 200,
      description:
        "Speech during a reply with less voiced sound than this never interrupts the reply: clicks and coughs are shorter.",
    },
  ),
  minWords: variable("REALTIME_INTERRUPTION_MIN_WORDS", whole(0, 20), {
    default: 0,
    description:
      "Speech during a reply with fewer words than this does not interrupt the reply. They are transcribed at the first pause, and after 0.6 s of unbroken voice, 1.2 s and so on, which is paid for besides; so the reply ends later. 0 turns the limit off.",
  }),
  maxBackchannelMs: variable(
    "REALTIME_BACKCHANNEL_MAX_MS",
    { ...whole(0, 10_000), unit: "ms" },
    {
      default: 600,
      description:
        'Speech during a reply with as much voiced sound as this interrupts the reply at once. Shorter speech waits for its transcript, and does not interrupt the reply if that is a backchannel such as "mhm" or "yeah, right". 0 waits for no transcript.',
    },
  ),
}

export const concurrency = {
  maxTurns: computed("MAX_TURNS", whole(0, 100_000), {
    default: defaultMaxTurns(hostResources()),
    unset: "16 per core for at most 4 cores, and at most one per 64 MB of memory",
    description: "Concurrent turns of all users in one process. 0 turns the limit off.",
  }),
  maxTurnsPerUser: variable("MAX_TURNS_PER_USER", whole(0, 100_000), {
    default: 4,
    description: "Concurrent turns of one user in one process. 0 turns the limit off.",
  }),
  turnQueueTimeout: variable("TURN_QUEUE_SECONDS", seconds(0, 60), {
    default: 2,
    description:
      "How long a turn over one of these limits waits for another turn to end. 0 rejects it at once.",
  }),
  turnQueueLength: variable("TURN_QUEUE_LENGTH", whole(0, 100_000), {
    default: 64,
    description:
      "How many turns wait at the same time. As many more wait to begin their upload. 0 rejects every turn over a limit at once.",
  }),
  maxUploads: computed("MAX_UPLOADS", whole(0, 100_000), {
    default: defaultMaxUploads(hostResources()),
    unset: "one per 16 MB of memory, at most 1024",
    description: "Concurrent uploads of all users in one process. 0 turns the limit off.",
  }),
}

export const realtime = {
  maxRealtimeSessions: computed("REALTIME_MAX_SESSIONS", whole(0, 100_000), {
    default: defaultMaxRealtimeSessions(hostResources()),
    unset: "one per 4 MB of memory, at most 1000",
    description: "Open Realtime connections of all users in one process. 0 turns the limit off.",
  }),
  maxRealtimeSessionsPerUser: variable("REALTIME_MAX_SESSIONS_PER_USER", whole(0, 100_000), {
    default: 32,
    description: "Open Realtime connections of one user in one process. 0 turns the limit off.",
  }),
  realtimeSpeculative: variable("REALTIME_SPECULATIVE", flag, {
    default: "off",
    description:
      "Begins the answer to a Realtime user during the silence that ends the speech, so that it is heard earlier. An answer that began too early is dropped unheard, but its tokens and its speech are paid for.",
  }),
  realtimeVoices: computed("REALTIME_VOICES", voices, {
    default: [],
    unset: "`TTS_VOICE` alone",
    description:
      "The voices that a Realtime client may choose besides `TTS_VOICE`, separated by commas: those of the speech synthesis. A client that asks for another one gets `TTS_VOICE`.",
  }),
  realtimeSession: variable("REALTIME_SESSION_MINUTES", minutes(0.001, 1440), {
    default: 60,
    description:
      "How long a Realtime connection may last. It then gets the error `session_expired`, and the client can continue the session on another one.",
  }),
  realtimeIdle: variable("REALTIME_IDLE_MINUTES", minutes(0, 1440), {
    default: 15,
    description:
      "How long a Realtime connection may have no audio and no events before it ends. 0 turns the limit off.",
  }),
  realtimePing: variable("REALTIME_PING_SECONDS", seconds(0.1, 600), {
    default: 20,
    description:
      "The time between two WebSocket pings, which keep proxies from closing a silent connection. A client that answers none of two counts as disconnected.",
  }),
  realtimeMessageBytes: variable("REALTIME_MAX_MESSAGE_MB", megabytes(0.001, 128), {
    default: 21,
    description:
      "The maximum size of a message from a Realtime client. The default has room for 15 MB of audio in base64, the limit of OpenAI's own server. A larger one closes the connection with code 1009.",
  }),
  realtimeQueueBytes: variable("REALTIME_MAX_QUEUE_MB", megabytes(0.001, 1024), {
    default: 8,
    description:
      "How much may wait for a Realtime client that reads too slowly. With more, or when it reads nothing for `LISTENER_TIMEOUT_SECONDS`, the connection ends.",
  }),
}

const rate = whole(0, 1_000_000)

export const rateLimits = {
  turns: variable("RATE_LIMIT_TURNS_PER_MINUTE", rate, { default: 30, description: "Turns of one user." }),
  requests: variable("RATE_LIMIT_REQUESTS_PER_MINUTE", rate, {
    default: 300,
    description: "Other requests of one user.",
  }),
  registrations: variable("RATE_LIMIT_REGISTRATIONS_PER_HOUR", rate, {
    default: 20,
    description: "Registrations from one client address (one /64 for IPv6).",
  }),
  logins: variable("RATE_LIMIT_LOGINS_PER_MINUTE", rate, {
    default: 30,
    description: "Logins from one client address.",
  }),
  wrongKeys: variable("RATE_LIMIT_WRONG_KEYS_PER_MINUTE", rate, {
    default: 20,
    description: "Requests with a wrong API key from one client address.",
  }),
}

export const usage = {
  prices: computed("PRICES", prices, {
    default: noPrices,
    unset: "no prices",
    description:
      'What models cost, for the cost of turns and for monthly limits. A model that is missing has an unknown cost. The offline engines cost nothing. For example: `{"models":{"tts-1":{"perMillionCharacters":15}}}`.',
  }),
  monthlyLimit: variable("MONTHLY_LIMIT", orNone(limitAmount), {
    default: "none",
    description:
      "What the turns of one user may cost in a calendar month in UTC, in the currency of `PRICES`. `./voice-agent users limit` sets another limit for one user. `none` sets no limit.",
  }),
}

export const trustedProxies = computed("TRUSTED_PROXIES", networks, {
  default: [],
  unset: "none",
  description:
    "Addresses and networks of the proxies in front of the service. Their `X-Forwarded-For` or `Forwarded` header gives the client address.",
})

export const registration = {
  mode: variable("REGISTRATION", oneOf("open", "token", "closed"), {
    default: "open",
    description:
      "Who can register: `open` (everyone), `token` (clients that send `REGISTRATION_TOKEN`) or `closed` (only the operator, with `./voice-agent users create`).",
  }),
  token: optional("REGISTRATION_TOKEN", secret, {
    description: "The token that a client has to send to register. Required when `REGISTRATION` is `token`.",
  }),
}

export const database = {
  databaseUrl: optional("DATABASE_URL", databaseUrl, {
    unset: "the embedded PostgreSQL in DATA_DIR",
    description:
      "PostgreSQL 15 or newer, in UTF-8: `postgres://user:password@host:5432/database`. `?sslmode=verify-full` encrypts and checks its certificate.",
  }),
  databasePoolSize: variable("DATABASE_POOL_SIZE", whole(1, 1000), {
    default: 20,
    description: "The maximum number of connections to the database.",
  }),
  dataDir: variable("DATA_DIR", text, {
    default: ".data",
    description:
      "The folder of the embedded database and of `models`. As root, the database is under `/var/lib/voice-agent` instead.",
  }),
}

export const encryption = {
  encryptionKey: optional("ENCRYPTION_KEY", encryptionKey, {
    unset: "the file `encryption.key` in DATA_DIR, which is made for the first secret",
    description:
      "The key that encrypts the secrets of tools and webhooks in the database: 32 random bytes in base64, such as `openssl rand -base64 32` writes. All processes of one database need the same.",
  }),
  encryptionPreviousKeys: computed("ENCRYPTION_PREVIOUS_KEYS", encryptionKeys, {
    default: Redacted.make([]),
    unset: "none",
    description:
      "Earlier values of `ENCRYPTION_KEY`, separated by commas. Secrets that were stored with one of them can still be read.",
  }),
}

export const mcp = {
  mcpStdioServers: computed("MCP_STDIO_SERVERS", stdioServers, {
    default: noStdioServers,
    unset: "none",
    description:
      "The programs that the service may start as MCP servers, by their names in agents, as in the files of other MCP clients. Agents of every user can use them, and they run as the service's user. One process per user: 50 users whose agents name a program are 50 processes with the memory of each, which end after ten minutes without use. All users together have 256 at most. Each starts in its `cwd`, or in an empty folder.",
  }),
}

export const outbound = {
  allowedNetworks: computed("OUTBOUND_ALLOWED_NETWORKS", networks, {
    default: [],
    unset: "none",
    description:
      "Addresses and networks of your own that tools and webhooks may call, separated by commas. Others that are not public are refused, and so are those that this machine is in. The ones listed here may be called on every port and without TLS.",
  }),
  blockedNetworks: computed("OUTBOUND_BLOCKED_NETWORKS", networks, {
    default: [],
    unset: "none",
    description:
      "Addresses and networks that tools and webhooks may never call, separated by commas, such as public ones of your own.",
  }),
  isHttpAllowed: variable("OUTBOUND_HTTP", flag, {
    default: "off",
    description:
      "Lets tools and webhooks call public servers by `http://`. What they send and receive can then be read and changed on its way.",
  }),
}

export const server = {
  port: variable("PORT", whole(0, 65_535), {
    default: 3000,
    description: "The port to listen on. With docker-compose.yml, the port that is published on the host.",
  }),
  host: variable("HOST", text, {
    default: "0.0.0.0",
    description: "The address to listen on. `127.0.0.1` accepts connections from this machine only.",
  }),
  corsOrigins: variable("CORS_ORIGIN", origins, {
    default: "*",
    description:
      "The origins of web pages that may call the API, separated by commas. A listed origin may send credentials; `*` allows every origin without credentials.",
  }),
  shutdownTimeout: variable("SHUTDOWN_TIMEOUT_SECONDS", timeout, {
    default: 30,
    description:
      "How long running turns may take to finish after SIGTERM. Keep it 25 s below the stop time-out of the container or unit.",
  }),
  warmUpTurns: variable("WARM_UP_TURNS", whole(0, 100), {
    default: 3,
    description:
      "How many turns a process rehearses when it has started, so that the first users do not wait for code that is compiled. No provider is asked. More of them gain little, and each keeps 1 MB of memory. In production only.",
  }),
}

export const log = {
  logLevel: variable("LOG_LEVEL", oneOf("debug", "info", "warn", "error", "none"), {
    default: "info",
    description: "The least severe level that is logged.",
  }),
  logDir: emptyMeansNone("LOG_DIR", text, {
    default: "logs",
    description: "The folder of `combined.log` and `error.log`. An empty value writes no files.",
  }),
}

/** The names are OpenTelemetry's own. */
export const otlp = {
  endpoint: optional("OTEL_EXPORTER_OTLP_ENDPOINT", webUrl, {
    unset: "no traces and metrics",
    description: "An OpenTelemetry collector that accepts OTLP over HTTP, such as `http://localhost:4318`.",
  }),
  headers: computed("OTEL_EXPORTER_OTLP_HEADERS", headerList, {
    default: Redacted.make({}),
    unset: "none",
    description: "Headers for the collector: `name=value,name=value`, with percent-encoded values.",
  }),
  serviceName: variable("OTEL_SERVICE_NAME", text, {
    default: "voice-agent",
    description: "The name of the service in traces and metrics.",
  }),
}

/** Of the endpoint that Prometheus reads. */
export const metrics = {
  port: optional("METRICS_PORT", whole(0, 65_535), {
    unset: "no metrics for Prometheus",
    description: "The port on which Prometheus reads `/metrics`. 0 is a free port.",
  }),
  host: variable("METRICS_HOST", text, {
    default: "127.0.0.1",
    description: "The address of that port. Metrics need no key: keep the port off the internet.",
  }),
}

/** All variables, in the order of .env.example and docs/reference/configuration.md. */
export const sections: ReadonlyArray<Section> = [
  { title: "Providers", variables: { ...shared, ...breaker } },
  { title: "Speech to text", variables: { ...stt, ...sttOptions } },
  { title: "Language model", variables: { ...llm, ...llmOptions } },
  { title: "Text to speech", variables: { ...tts, ...ttsOptions } },
  { title: "Conversation", variables: conversation },
  { title: "Agents of users", variables: agents },
  { title: "Tools", variables: tools },
  { title: "Recordings and uploads", variables: audio },
  { title: "Interruptions of a spoken reply", variables: interruption },
  { title: "Concurrency", variables: concurrency },
  { title: "Realtime", variables: realtime },
  { title: "Rate limits", text: "0 turns a limit off.", variables: { ...rateLimits, trustedProxies } },
  { title: "Usage and cost", variables: usage },
  { title: "Registration", variables: registration },
  { title: "Database", variables: database },
  { title: "Secrets of tools and webhooks", variables: encryption },
  {
    title: "Requests of tools and webhooks",
    text: "They apply to addresses that users name.",
    variables: outbound,
  },
  { title: "MCP servers", variables: mcp },
  { title: "Server", variables: { environment, ...server } },
  { title: "Logs, traces and metrics", variables: { ...log, ...otlp, ...metrics } },
]
