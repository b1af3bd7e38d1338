#!/bin/sh
# One turn with curl: prints the transcript, and saves the spoken reply in reply.mp3.
#
#     sh examples/talk.sh examples/question.wav
#
# VOICE_AGENT_URL is the service's address (default: http://localhost:3000). VOICE_AGENT_KEY is an API key; without one
# the example registers a new user.
set -eu
api=${VOICE_AGENT_URL:-http://localhost:3000}/api/v1
recording=${1:-examples/question.wav}
answer=${2:-reply.mp3}
if [ ! -r "$recording" ]; then
  echo "There is no readable file $recording." >&2
  exit 1
fi
headers=$(mktemp)
body=$(mktemp)
trap 'rm -f "$headers" "$body"' EXIT

field() { sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }

# The body of an error is JSON, and curl exits with 22.
key=${VOICE_AGENT_KEY:-}
if [ -z "$key" ]; then
  if ! registered=$(curl -sS --fail-with-body "$api/users/register" -d "email=$(date +%s)-$$@example.com"); then
    printf '%s' "$registered" >&2
    exit 1
  fi
  key=$(echo "$registered" | field apiKey)
fi
if ! curl -sS --fail-with-body -D "$headers" -o "$body" "$api/voice/conversation" \
  -H "Authorization: Bearer $key" -H "Accept: audio/mpeg" -F "audio=@$recording"; then
  cat "$body" >&2
  exit 1
fi
cat "$body" >"$answer"
# The transcript is percent-encoded.
echo "You:   $(sed -n 's/^[Xx]-[Tt]ranscript: //p' "$headers" | tr -d '\r')"
echo "$answer: session $(sed -n 's/^[Xx]-[Ss]ession-[Ii]d: //p' "$headers" | tr -d '\r')"
