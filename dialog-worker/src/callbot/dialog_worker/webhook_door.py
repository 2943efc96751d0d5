"""The way to a webhook, for calls and tests alike: its secret is opened, then it is asked."""

import logging

from callbot.dialog_worker.webhook import WebhookOutcome, Webhooks
from callbot.runtime.sealing import CannotOpen, Sealing, webhook_secret_of
from callbot.schemas.dialog import WebhookStatus
from callbot.schemas.webhook import WebhookRequest

log = logging.getLogger(__name__)

BOTS_REMEMBERED = 1000


class WebhookDoor:
    def __init__(self, webhooks: Webhooks, sealing: Sealing) -> None:
        self._webhooks = webhooks
        self._sealing = sealing
        self._said: set[str] = set()

    async def ask(
        self, url: str, sealed_secret: str, request: WebhookRequest, *, user_id: str
    ) -> WebhookOutcome:
        """Raises nothing. An unsigned request is never sent: a secret that cannot be opened is a failure."""
        try:
            secret = self._sealing.open(sealed_secret, webhook_secret_of(request.bot_id))
        except CannotOpen as e:
            self._say_once(request.bot_id, e)
            return WebhookOutcome(WebhookStatus.UNREACHABLE, "the webhook's secret cannot be opened", None)
        return await self._webhooks.ask(url, secret, request, user_id)

    def _say_once(self, bot_id: str, error: CannotOpen) -> None:
        """The bot's every turn fails like this until its keys are back."""
        if bot_id in self._said:
            return
        if len(self._said) >= BOTS_REMEMBERED:
            self._said.clear()
        self._said.add(bot_id)
        log.error("a webhook's secret cannot be opened", extra={"bot_id": bot_id, "reason": str(error)})
