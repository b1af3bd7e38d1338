/** The variables that only the compose files read. A test compares the defaults with the compose files. */
export const composeVariables = [
  {
    title: "docker-compose.yml only",
    variables: [
      {
        name: "POSTGRES_PASSWORD",
        default: "voicepass",
        description:
          "The password of the database. It is part of a URL: use letters, digits and - . _ ~ only. Set it before the first start.",
      },
      {
        name: "POSTGRES_PORT",
        default: "5432",
        description: "The port of the database on 127.0.0.1 of the host.",
      },
    ],
  },
  {
    title: "compose.local.yml only",
    variables: [
      {
        name: "LOCAL_LLM_MODEL",
        default: "llama3.2:3b",
        description: "A model of the Ollama library.",
      },
      {
        name: "LOCAL_STT_MODEL",
        default: "Systran/faster-whisper-small",
        description: "A Whisper model that speaches can download.",
      },
      {
        name: "LOCAL_TTS_MODEL",
        default: "speaches-ai/Kokoro-82M-v1.0-ONNX",
        description: "A speech model that speaches can download.",
      },
      {
        name: "LOCAL_TTS_VOICE",
        default: "af_heart",
        description: "A voice of that model.",
      },
    ],
  },
]
