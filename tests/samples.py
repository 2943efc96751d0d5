"""Messages as tests need them."""

from callbot.schemas.bots import Suggest
from callbot.schemas.calls import CallBrief

CALL_ID = "CA" + "0" * 31 + "1"


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
        "webhook_secret": "s3cret-s3cret-s3cret",
        "voice": "piper:joe",
        "greeting": "Hello!",
        "language": "en-US",
        "transfer_to": None,
        "hints": [],
        "suggest": Suggest.FULL,
        "max_call_seconds": 600,
    }
    return CallBrief.model_validate(fields | changes)
