"""Answers what the API asks about calls."""

from callbot.call_router.store import Store
from callbot.runtime.errors import Refused
from callbot.schemas.calls import CallDetail, CallRef


class Calls:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, question: CallRef) -> CallDetail:
        call = await self._store.call_detail(question.user_id, question.call_id)
        if call is None:
            raise Refused("call_not_found", "There is no such call")
        return call
