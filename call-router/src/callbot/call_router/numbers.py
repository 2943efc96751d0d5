"""Answers what the API asks about a user's Twilio number."""

from callbot.runtime.errors import Refused
from callbot.schemas.message import UserId
from callbot.schemas.numbers import Connected, ConnectTwilio, DisconnectNumber, GetNumber, MyNumber
from callbot.schemas.users import Done


class Numbers:
    async def connect(self, user_id: UserId, question: ConnectTwilio) -> Connected:
        raise Refused("internal_error", "not built yet")

    async def get(self, user_id: UserId, question: GetNumber) -> MyNumber:
        raise Refused("internal_error", "not built yet")

    async def disconnect(self, user_id: UserId, question: DisconnectNumber) -> Done:
        raise Refused("internal_error", "not built yet")
