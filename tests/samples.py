"""Messages as tests need them."""

from callbot.runtime.keyring import KeyRing
from callbot.runtime.sealing import Sealing, webhook_secret_of
from callbot.schemas.bots import Suggest
from callbot.schemas.calls import CallBrief

CALL_ID = "CA" + "0" * 31 + "1"


WEBHOOK_KEYS = "test:" + "A" * 43 + "="
SEALING = Sealing(KeyRing.parse(WEBHOOK_KEYS))


def a_brief(**changes: object) -> CallBrief:
    fields: dict[str, object] = {
        "call_id": CALL_ID,
        "bot_id": "bot_1",
        "user_id": "public",
        "from_number": "+14155550100",
        "to_number": "+14155550199",
        "goal": "Book a table.",
        "context": "",
        "webhook": "http://127.0.0.1:9/",
        "sealed_webhook_secret": SEALING.seal("s3cret-s3cret-s3cret", webhook_secret_of("bot_1")),
        "voice": "piper:joe",
        "greeting": "Hello!",
        "language": "en-US",
        "transfer_to": None,
        "hints": [],
        "suggest": Suggest.FULL,
        "max_call_seconds": 600,
    }
    return CallBrief.model_validate(fields | changes)
