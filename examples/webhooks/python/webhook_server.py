"""Turns a function into a webhook: HTTP, the signature, malformed requests. Standard library only."""

import argparse
import hashlib
import hmac
import json
import os
import re
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[dict[str, Any]], dict[str, str]]
OLDEST_S = 300


def is_signed(body: bytes, header: str, secret: str) -> bool:
    """`X-Callbot-Signature: t=…,v1=…`, HMAC-SHA256 of `t.body`, not older than five minutes."""
    parts = re.fullmatch(r"t=(\d{1,12}),v1=([0-9a-f]{64})", header)
    if not parts or abs(time.time() - int(parts[1])) > OLDEST_S:
        return False
    signed = hmac.new(secret.encode(), parts[1].encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(signed, parts[2])


def serve(answer: Answer) -> None:
    """On 127.0.0.1 and `--port`; checks signatures when CALLBOT_WEBHOOK_SECRET is set."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, default=9000)
    port = arguments.parse_args().port
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), _handler(answer))
    except OSError as e:
        sys.exit(f"Port {port} cannot be used: {e.strerror}")
    print(f"webhook on http://127.0.0.1:{server.server_port}/bot", flush=True)
    server.serve_forever()


def _handler(answer: Answer) -> type[BaseHTTPRequestHandler]:
    secret = os.environ.get("CALLBOT_WEBHOOK_SECRET")

    class Webhook(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            if self.path != "/bot":
                return self.reply(404, {"error": "the webhook is at /bot"})
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if secret and not is_signed(body, self.headers.get("X-Callbot-Signature", ""), secret):
                return self.reply(401, {"error": "the signature is wrong"})
            try:
                return self.reply(200, answer(json.loads(body)))
            except (AttributeError, KeyError, TypeError, ValueError):
                return self.reply(400, {"error": "this is not a webhook request"})

        def reply(self, status: int, fields: dict[str, str]) -> None:
            body = json.dumps(fields).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """The platform logs each call already."""

    return Webhook
