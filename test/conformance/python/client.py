"""The conversation of openai's Python client. Its packages: `python3 -m venv .venv && .venv/bin/pip install -r requirements.txt`
in this folder."""

import asyncio
import base64
import json
import os

from openai import AsyncOpenAI

with open(os.environ["UTTERANCE"], "rb") as recording:
    utterance = recording.read()

transcription = {"model": "whisper-1"}
weather = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


class Session:
    """Keeps the events of a connection. Their types are checked against the models of the package."""

    def __init__(self, connection):
        self.connection = connection
        self.events = []

    async def next(self, type):
        while True:
            event = await asyncio.wait_for(self.connection.recv(), 30)
            self.events.append(event)
            if event.type == type:
                return event

    async def speak(self):
        for at in range(0, len(utterance), 4800):
            piece = base64.b64encode(utterance[at : at + 4800]).decode()
            await self.connection.input_audio_buffer.append(audio=piece)

    async def say(self, text):
        content = [{"type": "input_text", "text": text}]
        await self.connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": content}
        )

    def report(self):
        return {
            "types": [event.type for event in self.events],
            "errors": [event.error.message for event in self.events if event.type == "error"],
            # The package builds events without validation. This validates them again, strictly.
            "invalid": [fault for event in self.events for fault in faults(event)],
        }


def faults(event):
    try:
        type(event).model_validate(json.loads(event.to_json()))
        return []
    except ValueError as error:
        return [f"{event.type}: {error}"]


async def converse(client):
    async with client.realtime.connect(model="any-model") as connection:
        session = Session(connection)
        await session.next("session.created")
        await connection.session.update(
            session={
                "type": "realtime",
                "audio": {"input": {"transcription": transcription, "turn_detection": {"type": "server_vad"}}},
                "tools": [weather],
            }
        )
        await session.next("session.updated")

        await session.speak()
        words = await session.next("conversation.item.input_audio_transcription.delta")
        heard = await session.next("conversation.item.input_audio_transcription.completed")
        limits = await session.next("rate_limits.updated")
        answered = await session.next("response.done")

        await session.say("What is the weather in Paris?")
        await connection.response.create()
        called = await session.next("response.function_call_arguments.done")
        await session.next("response.done")
        await connection.conversation.item.create(
            item={"type": "function_call_output", "call_id": called.call_id, "output": '{"sky":"sunny"}'}
        )
        await connection.response.create()
        told = await session.next("response.done")

        await session.say("Tell me a story.")
        await connection.response.create()
        delta = await session.next("response.output_audio.delta")
        await session.next("response.output_audio.delta")
        await asyncio.sleep(0.3)
        await session.speak()
        await session.next("input_audio_buffer.speech_started")
        await connection.conversation.item.truncate(item_id=delta.item_id, content_index=0, audio_end_ms=100)
        cut = await session.next("response.done")
        await session.next("conversation.item.truncated")
        after = await session.next("response.done")

        await connection.response.create(
            response={"conversation": "none", "output_modalities": ["text"], "input": []}
        )
        aside = await session.next("response.done")

        await session.say("Tell me a story.")
        await connection.response.create()
        await session.next("response.output_audio_transcript.delta")
        await connection.response.cancel()
        cancelled = await session.next("response.done")

    return {
        **session.report(),
        "words": words.delta,
        "heard": heard.transcript,
        "limit": limits.rate_limits[0].name,
        "answer": said(answered),
        "arguments": called.arguments,
        "told": said(told),
        "cut": [cut.response.status, cut.response.status_details.reason, after.response.status],
        "aside": [aside.response.status, aside.response.conversation_id],
        "cancelled": cancelled.response.status_details.reason,
    }


def said(event):
    return event.response.output[0].content[0].transcript


async def transcribe(client):
    async with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        session = Session(connection)
        await session.next("session.created")
        await connection.session.update(
            session={"type": "transcription", "audio": {"input": {"transcription": transcription}}}
        )
        await session.next("session.updated")
        await session.speak()
        heard = await session.next("conversation.item.input_audio_transcription.completed")
    return {**session.report(), "heard": heard.transcript}


async def secret(client, url):
    issued = await client.realtime.client_secrets.create(session={"type": "realtime", "instructions": "Rhyme."})
    guest = AsyncOpenAI(api_key=issued.value, base_url=url, websocket_base_url=url.replace("http", "ws"))
    async with guest.realtime.connect(model="any-model") as connection:
        session = Session(connection)
        created = await session.next("session.created")
    return {**session.report(), "instructions": created.session.instructions}


async def main():
    url = os.environ["URL"]
    client = AsyncOpenAI(
        api_key=os.environ["KEY"], base_url=url, websocket_base_url=url.replace("http", "ws")
    )
    print(
        json.dumps(
            {
                "conversation": await converse(client),
                "transcription": await transcribe(client),
                "secret": await secret(client, url),
            }
        )
    )


asyncio.run(main())
