"""Users over the bus: they sign up, get tokens, make keys; whoever guesses learns nothing."""

import asyncio
import itertools
import re
import statistics
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import argon2
import pytest

from callbot.call_router.access_tokens import AccessTokens
from callbot.call_router.attempts import Attempts
from callbot.call_router.passwords import Passwords
from callbot.call_router.stores import Stores
from callbot.call_router.users import Users
from callbot.runtime.bus import Bus
from callbot.runtime.errors import Refused
from callbot.runtime.keyring import KeyRing
from callbot.schemas.subjects import USER_UPDATE
from callbot.schemas.users import Credential, MePatch, SignedUp, SignUp, SignUpBody, UpdateMe

from .conftest import ASK_S, as_user
from .people import PASSWORD, asking, me, refusal, sign_up, signing_up, token

pytestmark = pytest.mark.usefixtures("router")
_numbers = itertools.count(1)


@pytest.fixture
def email() -> str:
    """Nobody's address so far."""
    return f"user{next(_numbers)}@example.com"


def users_with(stores: Stores, per_address: int = 1000, per_account: int = 1000, **fields: Any) -> Users:
    attempts = Attempts(stores.attempts, per_address=per_address, per_account=per_account)
    passwords = fields.get("passwords") or Passwords()
    return Users(stores.users, attempts, passwords, AccessTokens(KeyRing.random()))


async def test_a_user_signs_up_and_is_who_the_token_says(gateway: Bus, database: Any, email: str) -> None:
    signed_up = await sign_up(gateway, email, timezone="Europe/Berlin")
    assert re.fullmatch(r"user_[A-Za-z0-9]{16}", signed_up.user_id)
    assert signed_up.email == email
    issued = await token(gateway, email)
    assert (issued.token_type, issued.expires_in) == ("bearer", 3600)
    for answer in (signed_up, issued):
        assert answer.rate_limit is not None and 0 < answer.rate_limit.reset_s <= 900
    shown = await me(gateway, Credential(kind="bearer", value=issued.access_token))
    assert (shown.user_id, shown.email, shown.timezone) == (signed_up.user_id, email, "Europe/Berlin")
    assert timedelta(0) <= datetime.now(UTC) - shown.created_at < timedelta(minutes=1)
    kept = database["users"].find_one({"user_id": signed_up.user_id})
    assert kept["password_hash"].startswith("$argon2id$")
    assert PASSWORD not in str(kept)


async def test_an_address_is_one_address_however_it_is_written(gateway: Bus, email: str) -> None:
    name, _, domain = email.partition("@")
    signed_up = await sign_up(gateway, f"{name.title()}@{domain.upper()}")
    assert signed_up.email == email
    for written in (email, email.upper(), f" {email} ", f"Somebody <{email}>"):
        assert (await refusal(sign_up(gateway, written))).code == "email_taken"
        await token(gateway, written)


async def test_letters_of_the_world_are_one_address_too(gateway: Bus, email: str) -> None:
    name, _, _ = email.partition("@")
    await sign_up(gateway, f"{name}.J\u00f6rg@EX\u00c4MPLE.com")
    same = f"{name}.jo\u0308rg@xn--exmple-cua.com"
    await token(gateway, same)
    assert (await refusal(sign_up(gateway, same))).code == "email_taken"


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "europe/berlin", "Etc", "posixrules", "Europe/Berlin/x"])
async def test_an_unknown_time_zone_is_refused_by_name(gateway: Bus, email: str, zone: str) -> None:
    patch = UpdateMe(credential=Credential(), changes=MePatch(timezone=zone))
    for asked in (
        gateway.ask(USER_UPDATE, patch, timeout_s=ASK_S),
        sign_up(gateway, email, timezone=zone),
    ):
        refused = await refusal(asked)
        assert (refused.code, refused.details) == ("invalid_request", {"field": "timezone"})
        assert refused.message.startswith("timezone: ")
    await sign_up(gateway, email)


async def test_the_user_of_the_open_mode_is_there_and_can_be_changed(gateway: Bus) -> None:
    for zone in ("America/New_York", "UTC"):
        patch = UpdateMe(credential=Credential(), changes=MePatch(timezone=zone))
        changed = await gateway.ask(USER_UPDATE, patch, timeout_s=ASK_S)
        assert changed == await me(gateway, Credential())
        assert (changed.user_id, changed.email, changed.timezone) == ("public", None, zone)


async def test_a_token_of_a_user_who_is_gone_shows_nobody(gateway: Bus) -> None:
    patch = UpdateMe(credential=as_user("gone"), changes=MePatch(timezone="UTC"))
    for asked in (me(gateway, as_user("gone")), gateway.ask(USER_UPDATE, patch, timeout_s=ASK_S)):
        assert (await refusal(asked)).code == "unauthorized"


async def test_a_wrong_password_and_an_unknown_user_get_the_same_answer(
    gateway: Bus, database: Any, email: str
) -> None:
    await sign_up(gateway, email)
    database["users"].insert_one({"user_id": f"bare_{email}", "email": f"bare_{email}", "timezone": "UTC"})
    answers = [
        await refusal(token(gateway, asked, password))
        for asked, password in [
            (email, "another password"),
            (email, PASSWORD.upper()),
            (email, PASSWORD + " "),
            (f"not_{email}", PASSWORD),
            ("no address", PASSWORD),
            ('{"$gt": ""}', PASSWORD),
            ("$where", PASSWORD),
        ]
    ]
    assert {(told.code, told.message, str(told.details)) for told in answers} == {
        ("invalid_credentials", "The e-mail address or the password is wrong.", "{}")
    }


async def test_an_unknown_user_takes_as_long_as_a_wrong_password(stores: Stores, email: str) -> None:
    users = users_with(stores)
    await users.sign_up(signing_up(email))
    took_s: dict[str, list[float]] = {"known": [], "unknown": []}
    for number in range(20):
        for who, asked in (("known", email), ("unknown", f"nobody{number}.{email}")):
            began = time.perf_counter()
            assert (await refusal(users.token(asking(asked, "wrong password")))).code == "invalid_credentials"
            took_s[who].append(time.perf_counter() - began)
    known, unknown = (statistics.median(took) for took in took_s.values())
    print(f"median of 20: known {known * 1000:.1f} ms, unknown {unknown * 1000:.1f} ms")
    assert 0.5 < known / unknown < 2


@pytest.mark.usefixtures("second_replica")
async def test_of_twenty_who_sign_up_with_one_address_at_once_one_does(
    gateway: Bus, database: Any, email: str
) -> None:
    written = (email, email.upper())
    asked = (sign_up(gateway, written[n % 2]) for n in range(20))
    done = await asyncio.gather(*asked, return_exceptions=True)
    signed_up = [one for one in done if isinstance(one, SignedUp)]
    assert len(signed_up) == 1
    codes = [one.code for one in done if isinstance(one, Refused)]
    # Twenty passwords to hash at once may take longer than a question may wait.
    assert len(codes) == 19 and set(codes) - {"unavailable"} == {"email_taken"}
    kept = list(database["users"].find({"email": email}))
    assert [user["user_id"] for user in kept] == [signed_up[0].user_id]
    await token(gateway, email)


@pytest.mark.usefixtures("second_replica")
async def test_a_token_works_at_every_replica(gateway: Bus, email: str) -> None:
    signed_up = await sign_up(gateway, email)
    credential = Credential(kind="bearer", value=(await token(gateway, email)).access_token)
    shown = await asyncio.gather(*(me(gateway, credential) for _ in range(20)))
    assert {one.user_id for one in shown} == {signed_up.user_id}


async def test_an_account_is_closed_to_guesses_even_right_ones(stores: Stores, email: str) -> None:
    users = users_with(stores, per_account=3)
    await users.sign_up(signing_up(email))
    for _ in range(5):
        await users.token(asking(email))
    guesses = (users.token(asking(email, f"guess {n}", f"198.51.100.{n}")) for n in range(10))
    told = [(await one).code for one in [asyncio.ensure_future(refusal(guess)) for guess in guesses]]
    assert sorted(told) == ["invalid_credentials"] * 3 + ["rate_limited"] * 7
    for written in (email, email.upper()):
        refused = await refusal(users.token(asking(written)))
        assert refused.code == "rate_limited"
        assert refused.details["limit"] == "3"
        assert 0 < int(refused.details["retry_after_s"]) <= 900
    assert (await refusal(users.sign_up(signing_up(email)))).code == "email_taken"


async def test_sign_ups_and_tokens_of_an_address_are_counted_together(stores: Stores, email: str) -> None:
    users, here = users_with(stores, per_address=4), "203.0.113.77"
    signed_up = await users.sign_up(signing_up(email, address=here))
    assert signed_up.rate_limit is not None and signed_up.rate_limit.remaining == 3
    assert (await refusal(users.sign_up(signing_up(email, address=here)))).code == "email_taken"
    assert (await refusal(users.token(asking(email, "wrong", here)))).code == "invalid_credentials"
    issued = await users.token(asking(email, address=here))
    assert issued.rate_limit is not None and issued.rate_limit.remaining == 0
    for asked in (
        users.token(asking(email, address=here)),
        users.sign_up(signing_up("x" + email, address=here)),
    ):
        assert (await refusal(asked)).code == "rate_limited"
    await users.token(asking(email, address="203.0.113.78"))


async def test_who_found_no_room_has_not_guessed(stores: Stores, email: str) -> None:
    await users_with(stores).sign_up(signing_up(email))
    narrow = Passwords(at_once=1, most_waiting=0)
    users = users_with(stores, per_account=2, passwords=narrow)
    gate = threading.Event()
    hashing = asyncio.create_task(narrow._beside_the_loop(lambda: gate.wait(10)))
    await asyncio.sleep(0)
    assert {(await refusal(users.token(asking(email)))).code for _ in range(3)} == {"unavailable"}
    gate.set()
    assert await hashing
    await users.token(asking(email))


async def test_a_hash_of_old_costs_is_renewed_at_the_next_sign_in(stores: Stores, email: str) -> None:
    users = users_with(stores)
    user_id = (await users.sign_up(signing_up(email))).user_id
    first = await stores.users.get(user_id)
    old = argon2.PasswordHasher(memory_cost=1024, time_cost=1, parallelism=1).hash(PASSWORD)
    assert first and first.password_hash
    await stores.users.change_password_hash(user_id, first.password_hash, old)
    await users.token(asking(email))
    renewed = await stores.users.get(user_id)
    assert renewed and renewed.password_hash and "m=47104" in renewed.password_hash
    await users.token(asking(email))


async def test_where_sign_up_is_closed_nobody_signs_up(stores: Stores, email: str) -> None:
    attempts = Attempts(stores.attempts, per_address=9, per_account=9)
    tokens = AccessTokens(KeyRing.random())
    closed = Users(stores.users, attempts, Passwords(), tokens, sign_up_is_open=False)
    question = SignUp(body=SignUpBody(email=email, password=PASSWORD), address="192.0.2.7")
    with pytest.raises(Refused, match="sign_up_closed"):
        await closed.sign_up(question)
    assert await stores.users.by_email(email) is None
