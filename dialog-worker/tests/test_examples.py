"""The sample webhooks: signatures, malformed and repeated requests; one behaviour for all languages."""

import asyncio
import json
import re
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from callbot.dialog_worker.webhook import signature

SECRET = "s3cret-s3cret-s3cret"
UNVERIFIED = "CALLBOT_WEBHOOK_SECRET is not set: nothing is verified"
LANGUAGES = ("python", "node", "php")


@pytest.fixture(scope="module")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
        yield http


BODY = json.dumps({"user_text": "A table for four", "history": []}).encode()


def signed(body: bytes = BODY, *, age_s: int = 0, secret: str = SECRET) -> str:
    return signature(secret, int(time.time()) - age_s, body)


SIGNATURES: dict[str, tuple[Callable[[], str], int]] = {
    "good": (signed, 200),
    "four minutes old": (lambda: signed(age_s=240), 200),
    "a clock that is ahead": (lambda: signed(age_s=-240), 200),
    "old": (lambda: signed(age_s=310), 401),
    "of the future": (lambda: signed(age_s=-310), 401),
    "of another body": (lambda: signed(BODY + b" "), 401),
    "of another secret": (lambda: signed(secret=SECRET + "!"), 401),
    "another time than signed": (lambda: re.sub(r"t=\d+", f"t={int(time.time()) - 5}", signed()), 401),
    "one letter changed": (lambda: signed()[:-1] + ("0" if signed()[-1] != "0" else "1"), 401),
    "cut short": (lambda: signed()[:-1], 401),
    "longer": (lambda: signed() + "0", 401),
    "upper case": (lambda: signed()[:14] + signed()[14:].upper().replace("V1", "v1"), 401),
    "no digest": (lambda: f"t={int(time.time())},v1=", 401),
    "no time": (lambda: signed().partition(",")[2], 401),
    "negative time": (lambda: signed().replace("t=", "t=-"), 401),
    "endless time": (lambda: signed().replace("t=", "t=" + "1" * 40), 401),
    "twice": (lambda: f"{signed()},{signed()}", 401),
    "garbage": (lambda: "???", 401),
    "empty": (lambda: "", 401),
}


@pytest.mark.parametrize(("header", "status"), SIGNATURES.values(), ids=SIGNATURES)
async def test_signatures(
    bot: str, http: aiohttp.ClientSession, header: Callable[[], str], status: int
) -> None:
    async with http.post(bot, data=BODY, headers={"X-Callbot-Signature": header()}) as response:
        answer = await response.json()
    assert response.status == status
    assert ("say" in answer) is (status == 200)
    assert ("error" in answer) is (status != 200)


async def test_without_a_signature(bot: str, http: aiohttp.ClientSession) -> None:
    async with http.post(bot, data=BODY) as response:
        assert response.status == 401


BODIES: dict[str, tuple[bytes, int]] = {
    "a request": (BODY, 200),
    "more than we know": (b'{"user_text": "Hi", "history": [], "new": {"a": [1]}}', 200),
    "empty": (b"", 400),
    "not JSON": (b"<html>", 400),
    "broken off": (BODY[:-1], 400),
    "not UTF-8": (b'{"user_text": "\xff", "history": []}', 400),
    "null": (b"null", 400),
    "a list": (b"[1, 2]", 400),
    "a text": (b'"user_text"', 400),
    "nothing in it": (b"{}", 400),
    "no history": (b'{"user_text": "bye"}', 400),
    "no text": (b'{"history": []}', 400),
    "a number for a text": (b'{"user_text": 5, "history": []}', 400),
    "null for a text": (b'{"user_text": null, "history": []}', 400),
    "a number for the history": (b'{"user_text": "bye", "history": 5}', 400),
    "text in the history": (b'{"user_text": "bye", "history": ["Hi"]}', 400),
    "half an entry": (b'{"user_text": "bye", "history": [{"role": "user"}]}', 400),
    "deep": (b"[" * 20_000, 400),
    "too large": (b" " * 1_000_001, 413),
}


@pytest.mark.parametrize(("body", "status"), BODIES.values(), ids=BODIES)
async def test_bodies(bot: str, http: aiohttp.ClientSession, body: bytes, status: int) -> None:
    async with http.post(bot, data=body, headers={"X-Callbot-Signature": signed(body)}) as response:
        answer = await response.json()
    assert response.status == status
    assert ("error" in answer) is (status != 200)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/bot", 405),
        ("PUT", "/bot", 405),
        ("DELETE", "/bot", 405),
        ("POST", "/", 404),
        ("GET", "/", 404),
        ("POST", "/bot/x", 404),
    ],
)
async def test_other_ways_in(
    bot: str, http: aiohttp.ClientSession, method: str, path: str, status: int
) -> None:
    url = bot.removesuffix("/bot") + path
    async with http.request(method, url, data=BODY, headers={"X-Callbot-Signature": signed()}) as response:
        assert response.status == status
        assert response.headers.get("Allow") == ("POST" if status == 405 else None)


Post = Callable[[str, str], Any]


@pytest.fixture
def post(bot: str, http: aiohttp.ClientSession) -> Post:
    async def post(key: str, text: str) -> str:
        body = json.dumps({"user_text": text, "history": []}).encode()
        headers = {"X-Callbot-Signature": signed(body), "Idempotency-Key": key}
        async with http.post(bot, data=body, headers=headers) as response:
            return str((await response.json()).get("say"))

    return post


async def test_a_request_that_comes_again_gets_the_same_answer(post: Post) -> None:
    """Seen by a second request that says something else: it is not answered anew."""
    first = await post("turn.1", "for two")
    assert first == "When would you like to come?"
    assert await post("turn.1", "goodbye") == first
    assert (await post("turn.2", "goodbye")).endswith("Goodbye!")
    assert await post("1", "for two") == first
    assert (await post("2", "goodbye")).endswith("Goodbye!")
    assert await post("1", "goodbye") == first, "a key may be a number"


async def test_requests_without_a_key_are_not_repetitions(post: Post) -> None:
    assert await post("", "for two") == "When would you like to come?"
    assert (await post("", "goodbye")).endswith("Goodbye!")


async def test_repetitions_at_the_same_time(post: Post) -> None:
    answers = await asyncio.gather(*(post("turn.3", text) for text in ["for two", "goodbye", "hello"] * 5))
    assert len(set(answers)) == 1


async def test_what_was_refused_is_not_remembered(bot: str, http: aiohttp.ClientSession, post: Post) -> None:
    headers = {"Idempotency-Key": "turn.4"}
    async with http.post(bot, data=BODY, headers=headers) as response:
        assert response.status == 401
    async with http.post(bot, data=b"{", headers=headers | {"X-Callbot-Signature": signed(b"{")}) as response:
        assert response.status == 400
    assert (await post("turn.4", "goodbye")).endswith("Goodbye!")


async def test_memory_has_a_bound(post: Post) -> None:
    first = await post("old", "for two")
    for n in range(1000):
        assert await post(f"many.{n}", "hello") == "For how many people?"
    assert await post("many.0", "for two") == "For how many people?"
    assert await post("old", "goodbye") != first, "the oldest is forgotten"


@pytest.mark.parametrize("language", LANGUAGES)
async def test_without_a_secret_it_says_loudly_that_nothing_is_verified(
    language: str, tmp_path: Path, http: aiohttp.ClientSession, run_example: Callable[..., Any]
) -> None:
    async with run_example(language, tmp_path, "") as example:
        async with http.post(example.url, data=BODY, headers={"X-Callbot-Signature": "???"}) as response:
            assert response.status == 200
        assert example.process.stderr is not None
        async with asyncio.timeout(10):
            while UNVERIFIED not in (line := (await example.process.stderr.readline()).decode()):
                assert line, "it has ended without a warning"


@pytest.mark.parametrize("language", ["python", "node"])
async def test_a_port_that_is_taken(language: str, example_command: Callable[[str, int], list[str]]) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        program = example_command(language, port)
        process = await asyncio.create_subprocess_exec(*program, stderr=PIPE, env={"PATH": "/usr/bin:/bin"})
        _, error = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert error.decode().startswith(f"Port {port} cannot be used: ")
    assert error.count(b"\n") == 1
