"""Usage becomes money by a file of the operator's."""

import tomllib
from pathlib import Path

import pytest

from callbot.call_router.prices import Prices, priced
from callbot.runtime.errors import SettingsError
from callbot.schemas.usage import CallCost, Used

SAMPLE = Path(__file__).parents[2] / "docs/prices.toml"
PRICES = """
currency = "EUR"

[[price]]
role = "stt"
provider = "deepgram"
model = "nova-*"
per_minute = 0.6

[[price]]
role = "stt"
provider = "deepgram"
per_minute = 6

[[price]]
role = "tts"
provider = "elevenlabs"
per_million_characters = 50

[[price]]
role = "tts"
provider = "piper"
per_million_characters = 0

[[price]]
role = "llm"
provider = "openai"
model = "small"
per_million_tokens_in = 0.1
per_million_tokens_out = 0.4
"""
HEARD = Used(role="stt", provider="deepgram", model="nova-3", seconds=90)
SPOKEN = Used(role="tts", provider="elevenlabs", model="flash", characters=2000)
THOUGHT = Used(role="llm", provider="openai", model="small", tokens_in=30_000, tokens_out=500)


@pytest.fixture
def prices(tmp_path: Path) -> Prices:
    return Prices.read(written(tmp_path, PRICES))


def written(folder: Path, text: str) -> Path:
    (folder / "prices.toml").write_text(text)
    return folder / "prices.toml"


@pytest.mark.parametrize(
    ("used", "cost"),
    [
        (HEARD, 0.9),
        (HEARD.model_copy(update={"model": "flux-general-en"}), 9.0),
        (HEARD.model_copy(update={"seconds": 0.0}), 0.0),
        (HEARD.model_copy(update={"provider": "google"}), None),
        (SPOKEN, 0.1),
        (SPOKEN.model_copy(update={"model": ""}), 0.1),
        (SPOKEN.model_copy(update={"provider": "piper"}), 0.0),
        (THOUGHT, 0.0032),
        (THOUGHT.model_copy(update={"model": "large"}), None),
        # A name that several roles have: each has its price.
        (SPOKEN.model_copy(update={"provider": "deepgram"}), None),
    ],
)
def test_the_first_price_that_fits_counts(prices: Prices, used: Used, cost: float | None) -> None:
    (record,), total = priced([used], prices, counted=True)
    assert (record.cost, record.provider, record.seconds) == (cost, used.provider, used.seconds)
    assert total == CallCost(amount=cost or 0.0, currency="EUR", complete=cost is not None)


def test_a_call_costs_what_all_its_parts_do(prices: Prices) -> None:
    _, total = priced([HEARD, SPOKEN, THOUGHT], prices, counted=True)
    assert total == CallCost(amount=1.0032, currency="EUR", complete=True)
    google = HEARD.model_copy(update={"provider": "google"})
    _, total = priced([HEARD, google], prices, counted=True)
    assert total == CallCost(amount=0.9, currency="EUR", complete=False)
    _, total = priced([HEARD], prices, counted=False)
    assert total == CallCost(amount=0.9, currency="EUR", complete=False)


def test_without_prices_there_is_usage_and_no_cost() -> None:
    records, total = priced([HEARD, THOUGHT], None, counted=True)
    assert [(record.provider, record.cost) for record in records] == [("deepgram", None), ("openai", None)]
    assert total is None


def test_the_sample_can_be_read_and_prices_no_vendor() -> None:
    sample = Prices.read(SAMPLE)
    assert {price.provider for price in sample.price} == {"local", "piper"}
    examples = SAMPLE.read_text().partition("# EXAMPLES")[2].partition("\n")[2].replace("# ", "")
    vendors = Prices.model_validate(tomllib.loads(f'currency = "USD"\n{examples}')).price
    assert len(vendors) >= 5
    used = [
        Used(role=price.role, provider=price.provider, model=price.model, characters=10**9, seconds=10**9)
        for price in vendors
    ]
    _, total = priced(used, Prices(currency="USD", price=vendors), counted=True)
    assert total is not None and (total.amount, total.complete) == (0.0, True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("currency = 'EUR", "is no TOML"),
        ("", "currency: Field required"),
        ("currency = 'euro'", "currency: "),
        ("currency = 'EUR'\nprices = []", "prices: Extra inputs"),
        ("currency = 'EUR'\n[[price]]\nrole = 'ears'\nprovider = 'x'", "price 1 role: "),
        (
            "currency = 'EUR'\n[[price]]\nrole = 'stt'\nprovider = 'x'",
            "price 1: a price of stt has per_minute",
        ),
        (
            "currency = 'EUR'\n[[price]]\nrole = 'llm'\nprovider = 'x'\nper_million_tokens_in = 1",
            "price 1: a price of llm has per_million_tokens_in and per_million_tokens_out, and no other",
        ),
        (
            "currency = 'EUR'\n[[price]]\nrole = 'tts'\nprovider = 'x'\nper_minute = 1",
            "price 1: a price of tts has per_million_characters",
        ),
        (
            "currency = 'EUR'\n[[price]]\nrole = 'stt'\nprovider = 'x'\nper_minute = -1",
            "price 1 per_minute: ",
        ),
        (
            "currency = 'EUR'\n[[price]]\nrole = 'stt'\nprovider = 'x'\nper_minute = nan",
            "price 1 per_minute: ",
        ),
        # JSON has no number for what a call would cost.
        (
            "currency = 'EUR'\n[[price]]\nrole = 'stt'\nprovider = 'x'\nper_minute = 1e999",
            "price 1 per_minute: ",
        ),
        ("currency = 'EUR'\n[[price]]\nrole = 'stt'\nprovider = ''\nper_minute = 1", "price 1 provider: "),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Prices.read(written(tmp_path, text))
    assert told in str(refused.value) and "CALLBOT_PRICES" in str(refused.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        Prices.read(tmp_path / "nothing.toml")
