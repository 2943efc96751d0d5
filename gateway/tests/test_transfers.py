"""What follows when Twilio comes back for a call: the whole table."""

from datetime import UTC, datetime, timedelta

import pytest

from callbot.gateway.transfers import Next, caller_id, result_of, what_next
from callbot.schemas.calls import CallJournal, CallState
from callbot.schemas.webhook import Action
from tests.samples import a_brief

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def journal(
    state: CallState = CallState.TALKING, action: Action = Action.CONTINUE, *ago_s: int
) -> CallJournal:
    return CallJournal(
        brief=a_brief(),
        state=state,
        pending_action=action,
        transfer_to="+14155550123",
        began_at=NOW,
        reentries_at=[NOW - timedelta(seconds=s) for s in ago_s],
    )


TALKING, CLOSING, ENDED = CallState
TRANSFERRED = journal(ENDED, Action.TRANSFER)
IN_VAIN = TRANSFERRED.model_copy(update={"transfer_result": "no-answer"})


@pytest.mark.parametrize(
    ("left", "dialed", "follows"),
    [
        (None, None, Next.REENTER),
        (None, "completed", Next.GIVE_UP),
        (journal(), None, Next.REENTER),
        (journal(CLOSING, Action.TRANSFER), None, Next.REENTER),
        (journal(TALKING, Action.CONTINUE, 59), None, Next.REENTER),
        (journal(TALKING, Action.CONTINUE, 61, 59), None, Next.REENTER),
        (journal(TALKING, Action.CONTINUE, 59, 1), None, Next.GIVE_UP),
        (journal(ENDED), None, Next.HANG_UP),
        (journal(ENDED, Action.HANGUP), None, Next.HANG_UP),
        (journal(ENDED, Action.HANGUP), "no-answer", Next.HANG_UP),
        (TRANSFERRED.model_copy(update={"transfer_to": None}), None, Next.HANG_UP),
        (TRANSFERRED, None, Next.DIAL),
        (TRANSFERRED, "completed", Next.HANG_UP),
        (TRANSFERRED, "answered", Next.HANG_UP),
        *((TRANSFERRED, status, Next.TAKE_BACK) for status in ("busy", "no-answer", "failed", "canceled")),
        (TRANSFERRED, "", Next.TAKE_BACK),
        (TRANSFERRED, "of the future", Next.TAKE_BACK),
        # Asked again, and a stream that has not come about.
        (IN_VAIN, "no-answer", Next.TAKE_BACK),
        (IN_VAIN, None, Next.REENTER),
        (IN_VAIN.model_copy(update={"reentries_at": [NOW, NOW]}), None, Next.GIVE_UP),
        # A transfer back to the bot is no broken stream, however often it happened.
        (TRANSFERRED.model_copy(update={"reentries_at": [NOW, NOW]}), "busy", Next.TAKE_BACK),
        # Asked again, very late: the call goes on already.
        (journal(), "no-answer", Next.REENTER),
    ],
)
def test_what_follows(left: CallJournal | None, dialed: str | None, follows: Next) -> None:
    assert what_next(left, dialed, NOW) is follows


def test_a_call_whose_second_stream_did_not_begin_either_is_given_up() -> None:
    assert what_next(None, None, NOW, again=True) is Next.GIVE_UP
    # Where a stream began there is more to go by.
    assert what_next(journal(), None, NOW, again=True) is Next.REENTER


@pytest.mark.parametrize(
    ("from_number", "to_number", "shown"),
    [
        ("+14155550100", "+14155550199", "+14155550100"),
        ("anonymous", "+14155550199", "+14155550199"),
        ("client:alice", "+14155550199", "+14155550199"),
        ("+1415555010०", "+14155550199", "+14155550199"),
        ("", "", None),
        ("sip:alice@example.com", "sip:bot@example.com", None),
    ],
)
def test_as_whom_is_dialed(from_number: str, to_number: str, shown: str | None) -> None:
    assert caller_id(a_brief(from_number=from_number, to_number=to_number)) == shown


def test_what_the_record_says() -> None:
    assert [result_of(status) for status in ("busy", "no-answer", "", "x" * 999)] == [
        "busy",
        "no-answer",
        "failed",
        "failed",
    ]
