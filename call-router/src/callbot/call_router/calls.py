"""What the API shows of calls."""

from callbot.call_router.stores import Stores
from callbot.runtime.errors import Refused
from callbot.schemas.calls import CallDetail, CallPage, CallRef, ListCalls
from callbot.schemas.message import UserId
from callbot.schemas.users import Done

MAX_ANSWER_BYTES = 900_000
"""The broker carries no message over 1 MiB."""


class Calls:
    def __init__(self, stores: Stores) -> None:
        self._log = stores.call_log

    async def get(self, user_id: UserId, question: CallRef) -> CallDetail:
        """Of a very long call the newest turns."""
        found = await self._log.detail(user_id, question.call_id)
        if found is None:
            raise Refused("call_not_found", "There is no such call.")
        while len(found.encode()) > MAX_ANSWER_BYTES and found.turns:
            kept = found.turns[len(found.turns) // 2 + 1 :]
            omitted = found.turns_omitted + len(found.turns) - len(kept)
            found = found.model_copy(update={"turns": kept, "turns_omitted": omitted})
        return found

    async def list(self, user_id: UserId, question: ListCalls) -> CallPage:
        raise Refused("internal_error", "not built yet")

    async def delete(self, user_id: UserId, question: CallRef) -> Done:
        raise Refused("internal_error", "not built yet")
