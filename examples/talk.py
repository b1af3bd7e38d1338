"""One turn with Python's standard library: prints the transcript, and streams the spoken reply to reply.mp3.

    python3 examples/talk.py examples/question.wav

VOICE_AGENT_URL is the service's address (default: http://localhost:3000). VOICE_AGENT_KEY is an API key; without one
the example registers a new user.
"""

import json
import os
import sys
import time
import uuid
from urllib.error import HTTPError, URLError
from urllib.parse import unquote
from urllib.request import Request, urlopen

API = os.environ.get("VOICE_AGENT_URL", "http://localhost:3000") + "/api/v1"


def register():
    body = json.dumps({"email": f"{time.time_ns()}@example.com"}).encode()
    request = Request(f"{API}/users/register", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=30) as answer:
        return json.load(answer)["apiKey"]


def multipart(audio):
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="audio"; filename="audio"\r\n\r\n'
    body = head.encode() + audio + f"\r\n--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


def main(recording="examples/question.wav", answer="reply.mp3"):
    with open(recording, "rb") as file:
        body, content_type = multipart(file.read())
    key = os.environ.get("VOICE_AGENT_KEY") or register()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": content_type, "Accept": "audio/mpeg"}
    # The first byte can take 90 s: 30 s of waiting for the previous turn, and 60 s for this one.
    with urlopen(Request(f"{API}/voice/conversation", body, headers), timeout=100) as reply:
        print("You:  ", unquote(reply.headers["X-Transcript"]), flush=True)
        with open(answer, "wb") as file:
            while chunk := reply.read1(65536):
                file.write(chunk)
        print(f"{answer}: session", reply.headers["X-Session-Id"])


try:
    main(*sys.argv[1:])
except HTTPError as error:
    problem = json.load(error)
    sys.exit(f"{problem['error']}: {problem['message']}")
except URLError as error:
    sys.exit(f"The service at {API} cannot be reached: {error.reason}")
except OSError as error:
    sys.exit(f"{error.filename}: {error.strerror}" if error.filename else str(error))
