"""What the API shows of a call."""

from callbot.call_router.store import Store
from callbot.runtime.errors import Refused
from callbot.schemas.calls import CallDetail, CallRef

MAX_ANSWER_BYTES = 900_000
"""The broker carries no message over 1 MiB."""


class Calls:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, question: CallRef) -> CallDetail:
        """Of a very long call the newest turns."""
        found = await self._store.call_detail(question.user_id, question.call_id)
        if found is None:
            raise Refused("call_not_found", "There is no such call.")
        while len(found.encode()) > MAX_ANSWER_BYTES and found.turns:
            kept = found.turns[len(found.turns) // 2 + 1 :]
            omitted = found.turns_omitted + len(found.turns) - len(kept)
            found = found.model_copy(update={"turns": kept, "turns_omitted": omitted})
        return found
