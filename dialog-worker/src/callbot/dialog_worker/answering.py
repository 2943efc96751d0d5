"""One turn of the caller becomes what the bot says and does."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from callbot.dialog_worker.foreseeing import Thought
from callbot.dialog_worker.language_model import LanguageModel, TellUsed, tell_nobody
from callbot.dialog_worker.prompt import conversation
from callbot.dialog_worker.sentences import cut
from callbot.dialog_worker.settings import Settings
from callbot.dialog_worker.suggestion import Suggestion
from callbot.dialog_worker.webhook import WebhookOutcome
from callbot.dialog_worker.webhook_door import WebhookDoor
from callbot.runtime import tracing
from callbot.schemas.bots import Suggest
from callbot.schemas.calls import CallBrief
from callbot.schemas.dialog import TurnAnswered, TurnOpened, WebhookStatus
from callbot.schemas.webhook import Action, HistoryEntry, WebhookAnswer, WebhookRequest

GREETED = "Hello."
"""What a caller may say first: whatever it is, the model has read what stands before it."""


@dataclass(frozen=True, slots=True)
class Answering:
    """Deadlines count from the end of the caller's turn, not from when we heard of it."""

    model: LanguageModel
    door: WebhookDoor
    settings: Settings

    async def answer(self, brief: CallBrief, turn: TurnOpened, thought: Thought) -> TurnAnswered:
        """Stops the thought's run of the model at the end."""
        ended_at_s = time.monotonic() - max(0, turn.elapsed_ms) / 1000
        suggestion = thought.suggestion
        try:
            await suggestion.wait_complete(ended_at_s + self.settings.suggestion_s - time.monotonic())
            offered = list(suggestion.sentences)
            request = _request(brief, turn, " ".join(offered))
            with tracing.span("webhook") as facts:
                outcome = await self.door.ask(
                    brief.webhook, brief.sealed_webhook_secret, request, user_id=brief.user_id
                )
                facts |= {"status": outcome.status.value, "http_status": outcome.http_status}
            if outcome.answer is not None:
                return _from_webhook(brief, turn, outcome, outcome.answer, offered, thought)
            left_s = ended_at_s + self.settings.turn_s - time.monotonic()
            await suggestion.wait_settled(left_s, self.settings.settle_s)
            return _from_suggestion(turn, outcome, thought)
        finally:
            await suggestion.stop()
            suggestion.trace(thought.speculation, thought.won_ms)

    def suggest(
        self,
        brief: CallBrief,
        history: Sequence[HistoryEntry],
        user_text: str,
        *,
        on_first: Callable[[str], None] = lambda sentence: None,
        tell_used: TellUsed = tell_nobody,
    ) -> Suggestion:
        """Runs the model; a bot that wants no suggestions gets an empty one.

        What a model that another has outrun has cost may be told a moment after the suggestion is complete.
        """
        limit = self.settings.max_sentences
        if brief.suggest is Suggest.OFF:
            return Suggestion(None, max_sentences=limit)
        messages = conversation(
            brief, history, user_text, history_characters=self.settings.history_characters
        )
        pieces = self.model.reply(messages, tell_used)
        return Suggestion(pieces, max_sentences=limit, on_first=on_first, language=brief.language)

    async def read_ahead(self, brief: CallBrief, tell_used: TellUsed = tell_nobody) -> None:
        """Let the model read what all turns of this call begin with, where it wants to. Raises nothing."""
        if brief.suggest is not Suggest.OFF:
            greeting = [HistoryEntry(role="bot", content=brief.greeting)]
            limit = self.settings.history_characters
            messages = conversation(brief, greeting, GREETED, history_characters=limit)
            await self.model.read_ahead(messages, tell_used)


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
    offered: list[str],
    thought: Thought,
) -> TurnAnswered:
    """`offered`: the suggestion as the webhook was given it; said as it is, its sentences stay the same."""
    suggestion = thought.suggestion
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
        sentences=offered if answer.say == " ".join(offered) else cut(answer.say, brief.language),
        action=action,
        transfer_to=transfer_to,
        source="webhook",
        suggestion=" ".join(offered),
        webhook_status=outcome.status,
        webhook_detail=detail,
        webhook_ms=outcome.ms,
        llm_error=suggestion.error,
        llm_first_token_ms=suggestion.first_token_ms,
        llm_ms=suggestion.ms,
        speculation=thought.speculation,
        won_ms=thought.won_ms,
    )


def _from_suggestion(turn: TurnOpened, outcome: WebhookOutcome, thought: Thought) -> TurnAnswered:
    suggestion = thought.suggestion
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
        speculation=thought.speculation,
        won_ms=thought.won_ms,
    )
