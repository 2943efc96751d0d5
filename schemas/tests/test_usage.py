"""Sums of what was used."""

import pytest

from callbot.schemas.usage import Used, summed


def heard(seconds: float, model: str = "nova-3", provider: str = "deepgram") -> Used:
    return Used(role="stt", provider=provider, model=model, seconds=seconds)


def thought(tokens_in: int, tokens_out: int, *, estimated: bool = False) -> Used:
    return Used(
        role="llm",
        provider="openai",
        model="m",
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        estimated=estimated,
    )


def spoken(characters: int) -> Used:
    return Used(role="tts", provider="piper", characters=characters)


@pytest.mark.parametrize(
    ("used", "sums"),
    [
        ([], []),
        ([spoken(0)], [spoken(0)]),
        ([spoken(3), spoken(4)], [spoken(7)]),
        ([heard(0.1), heard(0.2)], [heard(0.3)]),
        ([heard(1), heard(1, "nova-2"), heard(1, provider="local")], None),
        ([thought(10, 1), thought(20, 2, estimated=True)], [thought(30, 3, estimated=True)]),
        ([spoken(1), thought(1, 1), heard(1)], [thought(1, 1), heard(1), spoken(1)]),
    ],
)
def test_one_sum_for_each_role_provider_and_model(used: list[Used], sums: list[Used] | None) -> None:
    found = summed(used)
    assert found == (sums if sums is not None else sorted(used, key=lambda u: (u.provider, u.model)))
    assert summed(found) == found


def test_a_sum_has_the_amounts_of_its_role_only() -> None:
    (both,) = summed([spoken(1), spoken(2)])
    assert both.model_dump(exclude_none=True) == {
        "role": "tts",
        "provider": "piper",
        "model": "",
        "characters": 3,
        "estimated": False,
    }
