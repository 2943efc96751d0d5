"""`POST /v1/bots/{id}/test-webhook`: a dialog-worker sends it, through the same door as in a call."""

from callbot.call_router.bot_store import BotStore
from callbot.call_router.bots import bot_not_found
from callbot.runtime.bus import Bus
from callbot.runtime.errors import NoResponders, Refused, TimedOut
from callbot.schemas.bots import TestWebhook, TryWebhook, WebhookTested
from callbot.schemas.dialog import WebhookStatus
from callbot.schemas.message import UserId
from callbot.schemas.subjects import WEBHOOK_TRY

RETRY_AFTER_S = "1"
"""The permits are for one second."""
TRIED_WITHIN_S = 4.5
"""The webhook has three seconds, its turn among the user's other ones included."""
SAID_AS_IT_IS = (WebhookStatus.TIMEOUT, WebhookStatus.RATE_LIMITED)
"""408 and 429; whatever else was wrong is `webhook_invalid`."""
TOLD = set(TryWebhook.model_fields) - {"bot_id", "body"}
"""Of a stored bot."""


class WebhookTests:
    __test__ = False

    def __init__(self, bus: Bus, bots: BotStore) -> None:
        self._bus = bus
        self._bots = bots

    async def test(self, user_id: UserId, question: TestWebhook) -> WebhookTested:
        """Raises Refused, its details as in WebhookTested where the webhook did not do what it should."""
        bot = await self._bots.get(question.bot_id)
        if bot is None or bot.user_id != user_id:
            raise bot_not_found()
        asked = TryWebhook(body=question.body, bot_id=bot.id, **bot.model_dump(include=TOLD))
        try:
            tested = await self._bus.ask(WEBHOOK_TRY, asked, timeout_s=TRIED_WITHIN_S)
        except (NoResponders, TimedOut) as e:
            raise Refused("unavailable", "No worker is there to send it. Please try again.") from e
        if tested.status == WebhookStatus.OK:
            return tested
        raise _refusal(tested)


def _refusal(tested: WebhookTested) -> Refused:
    code = tested.status if tested.status in SAID_AS_IT_IS else "webhook_invalid"
    details = {
        name: str(value)
        for name, value in tested.model_dump(exclude={"answer"}).items()
        if value not in (None, "")
    }
    if tested.status == WebhookStatus.RATE_LIMITED:
        details["retry_after_s"] = RETRY_AFTER_S
    return Refused(
        code, f"The webhook did not answer as it should: {tested.detail or tested.status}", details
    )
