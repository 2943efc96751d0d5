"""A field of a bot that one of its classes lacks would be lost without a word."""

from callbot.call_router.bot_store import StoredBot
from callbot.schemas.bots import Bot, BotDefinition, BotPatch
from callbot.schemas.calls import CallBrief


def test_a_field_of_a_definition_is_stored_shown_changed_and_reaches_the_call() -> None:
    defined = set(BotDefinition.model_fields)
    for model in (Bot, BotPatch):
        assert defined - set(model.model_fields) == set(), model.__name__
    sealed = defined - {"webhook_secret"} | {"sealed_webhook_secret"}
    for model in (StoredBot, CallBrief):
        assert sealed - set(model.model_fields) == set(), model.__name__
        assert "webhook_secret" not in model.model_fields
