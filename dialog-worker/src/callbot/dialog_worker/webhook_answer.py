"""The body of a webhook's answer, read with distrust."""

import json
import re
from typing import Any

from callbot.dialog_worker.spoken import spoken
from callbot.schemas.webhook import Action, WebhookAnswer

MAX_SAY_CHARACTERS = 5000
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


class InvalidAnswer(Exception):
    """What is wrong with it, without a word of it."""


def read_answer(body: bytes) -> tuple[WebhookAnswer, str]:
    """The answer, and what was odd about it though it can be used. Raises InvalidAnswer."""
    fields = _object(body)
    action, odd_action = _action(fields.get("action"))
    transfer_to, odd_number = _transfer_to(fields.get("transfer_to"))
    answer = WebhookAnswer(say=_say(fields), action=action, transfer_to=transfer_to)
    return answer, "; ".join(odd for odd in (odd_action, odd_number) if odd)


def _object(body: bytes) -> dict[str, Any]:
    if not body.strip():
        raise InvalidAnswer("the answer is empty")
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as e:
        raise InvalidAnswer("the answer is not JSON") from e
    if not isinstance(fields, dict):
        raise InvalidAnswer("the answer is not a JSON object")
    return fields


def _say(fields: dict[str, Any]) -> str:
    say = fields.get("say")
    if "say" not in fields:
        raise InvalidAnswer("say is missing")
    if not isinstance(say, str):
        raise InvalidAnswer("say is not a string")
    if len(say) > MAX_SAY_CHARACTERS:
        raise InvalidAnswer(f"say is longer than {MAX_SAY_CHARACTERS} characters")
    # JSON can spell half of a surrogate pair, UTF-8 cannot.
    say = say.encode(errors="ignore").decode().strip()
    if not spoken(say):
        raise InvalidAnswer("say has no words")
    return say


def _action(value: object) -> tuple[Action, str]:
    if value is None:
        return Action.CONTINUE, ""
    if isinstance(value, str) and value in list(Action):
        return Action(value), ""
    return Action.CONTINUE, "unknown action, taken as continue"


def _transfer_to(value: object) -> tuple[str | None, str]:
    if value is None or value == "":
        return None, ""
    if isinstance(value, str) and _E164.fullmatch(value):
        return value, ""
    return None, "transfer_to is not an E.164 number"
