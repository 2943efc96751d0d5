"""A customer's webhook with good and bad days; its path chooses the day."""

import asyncio
import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Delivery:
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        return dict(json.loads(self.raw))


class Customer:
    """Remembers what each bot's webhook was sent; `/{day}/{bot}` so that tests do not meet."""

    def __init__(self) -> None:
        self.deliveries: dict[str, list[Delivery]] = defaultdict(list)
        self.url = ""

    def webhook(self, day: str, who: str) -> str:
        return f"{self.url}/{day}/{who}"

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes([web.post("/{day}/{who}", self._answer), web.get("/elsewhere", self._answer)])
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        delivery = Delivery(dict(request.headers), await request.read())
        self.deliveries[request.match_info["who"]].append(delivery)
        said = delivery.body["user_text"]
        match request.match_info["day"]:
            case "echo":
                return web.json_response({"say": f"I heard {said}", "action": "continue"})
            case "long":
                sentences = [f"This is sentence {n} of a long answer." for n in range(1, 6)]
                return web.json_response({"say": " ".join(sentences)})
            case "hangup":
                return web.json_response({"say": "Goodbye and thank you.", "action": "hangup"})
            case "transfer":
                answer = {"say": "One moment please.", "action": "transfer", "transfer_to": "+14155550123"}
                return web.json_response(answer)
            case "unknown-action":
                return web.json_response({"say": "Fine.", "action": "dance"})
            case "suggestion":
                return web.json_response({"say": delivery.body["llm_suggestion"] or "No suggestion."})
            case day:
                return await self._bad(day, request)

    async def _bad(self, day: str, request: web.Request) -> web.StreamResponse:
        match day:
            case "slow":
                await asyncio.sleep(20)
                return web.json_response({"say": "Too late."})
            case "html":
                return web.Response(text="<html>Hello</html>", content_type="text/html")
            case "500":
                return web.json_response({"say": "Never said."}, status=500)
            case "empty-say":
                return web.json_response({"say": ""})
            case "missing-say":
                return web.json_response({"action": "continue"})
            case "redirect":
                raise web.HTTPFound("/elsewhere")
            case "huge":
                response = web.StreamResponse()
                await response.prepare(request)
                for _ in range(100):
                    await response.write(b" " * 1_000_000)
                return response
            case _:
                raise web.HTTPNotFound
