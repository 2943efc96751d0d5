"""One turn of the caller becomes what the bot says and does."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from callbot.dialog_worker.language_model import LanguageModel
from callbot.dialog_worker.prompt import conversation
from callbot.dialog_worker.sentences import cut
from callbot.dialog_worker.settings import Settings
from callbot.dialog_worker.suggestion import Suggestion
from callbot.dialog_worker.webhook import WebhookOutcome
from callbot.dialog_worker.webhook_door import WebhookDoor
from callbot.schemas.bots import Suggest
from callbot.schemas.calls import CallBrief
from callbot.schemas.dialog import TurnAnswered, TurnOpened, WebhookStatus
from callbot.schemas.webhook import Action, WebhookAnswer, WebhookRequest


@dataclass(frozen=True, slots=True)
class Answering:
    """Deadlines count from the end of the caller's turn, not from when we heard of it."""

    model: LanguageModel
    door: WebhookDoor
    settings: Settings

    async def answer(self, brief: CallBrief, turn: TurnOpened) -> TurnAnswered:
        ended_at_s = time.monotonic() - max(0, turn.elapsed_ms) / 1000
        suggestion = self._suggest(brief, turn)
        try:
            await suggestion.wait_complete(ended_at_s + self.settings.suggestion_s - time.monotonic())
            request = _request(brief, turn, suggestion.text)
            outcome = await self.door.ask(
                brief.webhook, brief.sealed_webhook_secret, request, user_id=brief.user_id
            )
            if outcome.answer is not None:
                return _from_webhook(brief, turn, outcome, outcome.answer, request, suggestion)
            left_s = ended_at_s + self.settings.turn_s - time.monotonic()
            await suggestion.wait_settled(left_s, self.settings.settle_s)
            return _from_suggestion(turn, outcome, suggestion)
        finally:
            await suggestion.stop()

    def _suggest(self, brief: CallBrief, turn: TurnOpened) -> Suggestion:
        limit = self.settings.max_sentences
        if brief.suggest is Suggest.OFF:
            return Suggestion(None, max_sentences=limit)
        messages = conversation(
            brief, turn.history, turn.user_text, history_characters=self.settings.history_characters
        )
        return Suggestion(self.model.reply(messages), max_sentences=limit)


def nothing_to_say(turn: TurnOpened, error: str) -> TurnAnswered:
    """The answer to a turn that broke us: the gateway apologises at once instead of waiting."""
    return TurnAnswered(
        epoch=turn.epoch,
        turn_id=turn.turn_id,
        number=turn.number,
        say="",
        sentences=[],
        source="none",
        webhook_status=WebhookStatus.NOT_CALLED,
        llm_error=error,
    )


def _request(brief: CallBrief, turn: TurnOpened, suggestion: str) -> WebhookRequest:
    return WebhookRequest(
        bot_id=brief.bot_id,
        user_text=turn.user_text,
        llm_suggestion=suggestion,
        history=turn.history,
        timestamp=datetime.now(UTC).replace(microsecond=0),
        call_id=brief.call_id,
        turn_id=turn.turn_id,
        from_number=brief.from_number,
        to_number=brief.to_number,
        language=brief.language,
    )


def _from_webhook(
    brief: CallBrief,
    turn: TurnOpened,
    outcome: WebhookOutcome,
    answer: WebhookAnswer,
    request: WebhookRequest,
    suggestion: Suggestion,
) -> TurnAnswered:
    action, detail = answer.action, outcome.detail
    transfer_to = (answer.transfer_to or brief.transfer_to) if action is Action.TRANSFER else None
    if action is Action.TRANSFER and not transfer_to:
        action = Action.CONTINUE
        detail = "; ".join(filter(None, (detail, "transfer without a number, taken as continue")))
    return TurnAnswered(
        epoch=turn.epoch,
        turn_id=turn.turn_id,
        number=turn.number,
        say=answer.say,
        sentences=cut(answer.say),
        action=action,
        transfer_to=transfer_to,
        source="webhook",
        suggestion=request.llm_suggestion,
        webhook_status=outcome.status,
        webhook_detail=detail,
        webhook_ms=outcome.ms,
        llm_error=suggestion.error,
        llm_first_token_ms=suggestion.first_token_ms,
        llm_ms=suggestion.ms,
    )


def _from_suggestion(turn: TurnOpened, outcome: WebhookOutcome, suggestion: Suggestion) -> TurnAnswered:
    return TurnAnswered(
        epoch=turn.epoch,
        turn_id=turn.turn_id,
        number=turn.number,
        say=suggestion.text,
        sentences=suggestion.sentences,
        source="suggestion" if suggestion.sentences else "none",
        suggestion=suggestion.text,
        webhook_status=outcome.status,
        webhook_detail=outcome.detail,
        webhook_ms=outcome.ms,
        llm_error=suggestion.error,
        llm_first_token_ms=suggestion.first_token_ms,
        llm_ms=suggestion.ms,
    )
