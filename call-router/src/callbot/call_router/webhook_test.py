"""`POST /v1/bots/{id}/test-webhook`: a dialog-worker sends it, through the same door as in a call."""

from callbot.runtime.bus import Bus
from callbot.runtime.errors import Refused
from callbot.schemas.bots import TestWebhook, WebhookTested
from callbot.schemas.message import UserId


class WebhookTests:
    __test__ = False

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def test(self, user_id: UserId, question: TestWebhook) -> WebhookTested:
        raise Refused("internal_error", "not built yet")
