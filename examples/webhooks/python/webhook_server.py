"""Turns a function into a webhook: HTTP, signature, repeated and malformed requests; no packages."""

import argparse
import hashlib
import hmac
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[dict[str, Any]], dict[str, str]]
OLDEST_S = 300
LARGEST_BYTES = 1_000_000
KEYS_REMEMBERED = 1000
UNVERIFIED = "WARNING: CALLBOT_WEBHOOK_SECRET is not set: nothing is verified, anybody can call this webhook."


def is_signed(body: bytes, header: str, secret: str) -> bool:
    """`X-Callbot-Signature: t=…,v1=…`, HMAC-SHA256 of `t.body`, not older than five minutes."""
    parts = re.fullmatch(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})", header)
    if not parts or abs(time.time() - int(parts[1])) > OLDEST_S:
        return False
    signed = hmac.new(secret.encode(), parts[1].encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(signed, parts[2])


def once(answer: Answer) -> Callable[[str, bytes], dict[str, str]]:
    """A request that comes again, with the same Idempotency-Key, gets the answer that it got before."""
    known: dict[str, dict[str, str]] = {}
    one_at_a_time = threading.Lock()

    def answered(key: str, body: bytes) -> dict[str, str]:
        with one_at_a_time:
            if key in known:
                return known[key]
            said = answer(checked(json.loads(body)))
            if key:
                known[key] = said
            if len(known) > KEYS_REMEMBERED:
                del known[next(iter(known))]
            return said

    return answered


def checked(request: dict[str, Any]) -> dict[str, Any]:
    texts = [request["user_text"], *(e[key] for e in request["history"] for key in ("role", "content"))]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("not a request")
    return request


def serve(answer: Answer) -> None:
    """On 127.0.0.1 and `--port`; checks signatures when CALLBOT_WEBHOOK_SECRET is set."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, default=9000)
    port = arguments.parse_args().port
    secret = os.environ.get("CALLBOT_WEBHOOK_SECRET", "")
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), _handler(once(answer), secret))
    except OSError as e:
        sys.exit(f"Port {port} cannot be used: {e.strerror}")
    if not secret:
        print(UNVERIFIED, file=sys.stderr, flush=True)
    print(f"webhook on http://127.0.0.1:{server.server_port}/bot", flush=True)
    server.serve_forever()


def _handler(answer: Callable[[str, bytes], dict[str, str]], secret: str) -> type[BaseHTTPRequestHandler]:
    class Webhook(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if self.path != "/bot":
                return self.refuse(404, "the webhook is at /bot")
            if not re.fullmatch("[0-9]{1,9}", length):
                return self.refuse(411, "Content-Length is wanted")
            if int(length) > LARGEST_BYTES:
                return self.refuse(413, "this is too large")
            body = self.rfile.read(int(length))
            if secret and not is_signed(body, self.headers.get("X-Callbot-Signature", ""), secret):
                return self.refuse(401, "the signature is wrong")
            try:
                return self.reply(200, answer(self.headers.get("Idempotency-Key", ""), body))
            except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
                return self.refuse(400, "this is not a webhook request")

        def do_other(self) -> None:
            self.refuse(405 if self.path == "/bot" else 404, "the webhook is POST /bot")

        do_GET = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_other

        def refuse(self, status: int, error: str) -> None:
            self.close_connection = True  # Its body may not have been read.
            self.reply(status, {"error": error})

        def reply(self, status: int, fields: dict[str, str]) -> None:
            body = json.dumps(fields).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if status == 405:
                self.send_header("Allow", "POST")
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """The platform logs each call already."""

    return Webhook
