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
      {
        name: "LOCAL_LLM_MODEL",
        default: "qwen3:4b-instruct",
        description:
          "The model of the Ollama library that the profile `local` downloads. For two cores: `qwen2.5:1.5b`.",
      },
    ],
  },
]
