"""Who asks: forged and worn-out tokens, API keys, and nobody at all."""

import base64
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from callbot.call_router.access_tokens import AUDIENCE, CLOCK_SKEW, ISSUER, AccessTokens
from callbot.call_router.api_key_store import StoredApiKey, new_secret
from callbot.call_router.identity import Identity
from callbot.call_router.instants import utc_now
from callbot.call_router.stores import Stores
from callbot.runtime.bus import Bus
from callbot.runtime.errors import Refused
from callbot.runtime.keyring import KeyRing
from callbot.schemas.bots import ListBots
from callbot.schemas.subjects import BOT_LIST
from callbot.schemas.users import OPEN_MODE_USER, Credential

from .conftest import ASK_S, as_user

NEW, OLD, REMOVED, FORGED = (bytes([n]) * 32 for n in (1, 2, 3, 4))
TOKENS = AccessTokens(KeyRing({"new": NEW, "old": OLD}), valid_s=600)
SECOND = timedelta(seconds=1)


def claims(**changed: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    fields = {
        "sub": "alice",
        "iat": now,
        "exp": now + timedelta(minutes=5),
        "iss": ISSUER,
        "aud": AUDIENCE,
        **changed,
    }
    return {name: value for name, value in fields.items() if value is not None}


def signed(
    key: bytes = NEW, kid: object = "new", algorithm: str = "HS256", headers: Any = (), **changed: Any
) -> str:
    kids = {} if kid is None else {"kid": kid}
    return jwt.encode(claims(**changed), key, algorithm=algorithm, headers={**kids, **dict(headers)})


def spelled(header: Any, body: Any, signature: bytes = b"") -> str:
    """A token made by hand, of what no library would write."""
    raw = (part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, body))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*raw, signature))


def by_hand(key: bytes, **header: Any) -> str:
    """Signed with what the library would not sign with."""
    whole = spelled({"alg": "HS256", **header}, PLAIN).removesuffix(".")
    mac = hmac.digest(key, whole.encode(), "sha256")
    return f"{whole}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


PLAIN = claims(iat=1, exp=9_999_999_999)


def ago(back: timedelta) -> datetime:
    return datetime.now(UTC) - back


def test_a_token_shows_its_user_at_every_replica() -> None:
    token = TOKENS.issue("alice")
    assert AccessTokens(KeyRing({"new": NEW})).user_of(token) == "alice"
    said = jwt.decode(token, NEW, algorithms=["HS256"], audience=AUDIENCE)
    assert said.keys() == {"sub", "iat", "exp", "iss", "aud"}
    assert said["exp"] - said["iat"] == 600
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT", "kid": "new"}
    assert TOKENS.user_of(signed()) == TOKENS.user_of(by_hand(NEW, kid="new")) == "alice"


def test_a_rotation_keeps_what_the_old_key_signed_until_it_is_removed() -> None:
    before = AccessTokens(KeyRing({"removed": REMOVED, "old": OLD}))
    assert TOKENS.user_of(AccessTokens(KeyRing({"old": OLD})).issue("alice")) == "alice"
    assert before.user_of(before.issue("alice")) == "alice"
    assert TOKENS.user_of(before.issue("alice")) is None


def test_a_token_has_its_time() -> None:
    whole = timedelta(seconds=TOKENS.valid_s)
    assert TOKENS.user_of(TOKENS.issue("alice", ago(whole - 2 * SECOND))) == "alice"
    assert TOKENS.user_of(TOKENS.issue("alice", ago(whole + CLOCK_SKEW + 2 * SECOND))) is None
    assert TOKENS.user_of(TOKENS.issue("alice", ago(-2 * SECOND))) == "alice"
    assert TOKENS.user_of(TOKENS.issue("alice", ago(-CLOCK_SKEW - 2 * SECOND))) is None
    assert TOKENS.user_of(signed(nbf=ago(-timedelta(minutes=1)))) is None


def _rsa_as_hmac() -> str:
    """RS/HS confusion: somebody's public key as the secret of an HMAC, under the name of one of our keys."""
    public = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    return by_hand(public.public_bytes(serialization.Encoding.PEM, info), kid="new")


def _rs256() -> str:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return signed(pem, algorithm="RS256")


ATTACKS: dict[str, Callable[[], str]] = {
    "signed with another key": lambda: signed(FORGED),
    "signed with the other key of the ring": lambda: signed(OLD, kid="new"),
    "a kid that is not in the ring": lambda: signed(FORGED, kid="mine"),
    "no kid": lambda: signed(kid=None),
    "a kid like a path": lambda: by_hand(b"", kid="../../../../dev/null"),
    "a kid like a query": lambda: signed(FORGED, kid="' UNION SELECT 'x"),
    "a kid that is a number": lambda: spelled({"alg": "HS256", "kid": 7}, PLAIN, b"x" * 32),
    "a kid that is a map": lambda: spelled({"alg": "HS256", "kid": {"$gt": ""}}, PLAIN, b"x" * 32),
    "alg none": lambda: spelled({"alg": "none", "kid": "new"}, PLAIN),
    "alg None in another case": lambda: spelled({"alg": "nOnE", "kid": "new"}, PLAIN),
    "alg none of the library": lambda: jwt.encode(claims(), None, algorithm="none", headers={"kid": "new"}),
    "no alg": lambda: spelled({"kid": "new"}, PLAIN, b"x" * 32),
    "HS512 with our key": lambda: signed(NEW, algorithm="HS512"),
    "RS256": _rs256,
    "a public key as secret": _rsa_as_hmac,
    "a key that it brings along": lambda: signed(FORGED, headers={"jwk": {"kty": "oct", "k": "BAQE"}}),
    "a critical header that nobody knows": lambda: signed(headers={"crit": ["x"], "x": 1}),
    "a body that is not encoded": lambda: by_hand(NEW, kid="new", b64=False),
    "another audience": lambda: signed(aud="another-api"),
    "ours among several audiences": lambda: signed(aud=[AUDIENCE, "another-api"]),
    "another issuer": lambda: signed(iss="somebody"),
    **{f"no {name}": lambda name=name: signed(**{name: None}) for name in claims()},  # type: ignore[misc]
    "a user that is a number": lambda: signed(sub=7),
    "an expiry that is a word": lambda: signed(exp="never"),
    "a body that is a list": lambda: jwt.PyJWS().encode(b"[]", NEW, "HS256", {"kid": "new"}),
    "a header nested without end": lambda: spelled(b"[" * 3000, PLAIN),
    "a header that is no UTF-8": lambda: spelled(b"\xff", PLAIN),
    "an endless number": lambda: spelled(b'{"alg":"HS256","kid":' + b"9" * 3000 + b"}", PLAIN),
    "no token": lambda: "",
    "two parts": lambda: "a.b",
    "letters of the world": lambda: "ä.ö.ü",
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_token_that_is_not_ours_shows_nobody(attack: str) -> None:
    assert TOKENS.user_of(ATTACKS[attack]()) is None


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_token_with_another_part_shows_nobody(part: int) -> None:
    """The header, the claims or the signature of another token that is ours."""
    mine, others = TOKENS.issue("mallory").split("."), signed(OLD, kid="old").split(".")
    assert TOKENS.user_of(".".join(others)) == "alice"
    mine[part] = others[part]
    assert TOKENS.user_of(".".join(mine)) is None


@given(st.text() | st.binary().map(lambda raw: spelled(raw, PLAIN, raw)))
def test_any_text_is_just_not_a_token(text: str) -> None:
    assert TOKENS.user_of(text) is None


async def refused(identity: Identity, kind: Any, value: str = "") -> str:
    with pytest.raises(Refused) as told:
        await identity.user_of(Credential(kind=kind, value=value))
    assert value == "" or value not in told.value.message
    return told.value.code


async def key_of(stores: Stores, user_id: str) -> tuple[str, str]:
    """A new key of this user, and its id."""
    key_id, key, sha256 = new_secret()
    stored = StoredApiKey(
        key_id=key_id, user_id=user_id, name="x", secret_sha256=sha256, created_at=utc_now()
    )
    assert await stores.api_keys.add(stored, 1000)
    return key, key_id


@pytest.fixture
def closed(stores: Stores) -> Identity:
    return Identity(TOKENS, stores.api_keys, open_mode=False)


async def test_nobody_is_somebody_in_open_mode_only(stores: Stores, closed: Identity) -> None:
    opened = Identity(TOKENS, stores.api_keys, open_mode=True)
    assert await opened.user_of(Credential()) == OPEN_MODE_USER
    assert await refused(closed, "none") == "unauthorized"
    for kind in ("bearer", "api_key"):
        assert await refused(opened, kind, "wrong") == "unauthorized"


async def test_an_api_key_shows_its_owner_until_it_is_deleted(stores: Stores, closed: Identity) -> None:
    key, key_id = await key_of(stores, "carol")
    assert await closed.user_of(Credential(kind="api_key", value=key)) == "carol"
    assert not await stores.api_keys.remove("mallory", key_id)
    assert await stores.api_keys.remove("carol", key_id)
    assert await refused(closed, "api_key", key) == "unauthorized"


async def test_a_key_with_another_secret_or_name_shows_nobody(stores: Stores, closed: Identity) -> None:
    (key, _), (other, _) = await key_of(stores, "carol"), await key_of(stores, "dave")
    name, secret = key[:26], key[27:]
    wrong = [
        f"{other[:26]}_{secret}",
        f"{name}_{secret[:-1]}",
        f"{name}_{secret}\n",
        f"{name}_",
        name,
        key.upper(),
        f" {key}",
        "cbk_" + "$" * 22 + "_" + secret,
        '{"$gt": ""}',
        key + "x",
    ]
    for shown in wrong:
        assert await refused(closed, "api_key", shown) == "unauthorized", shown
    assert await refused(closed, "bearer", key) == "unauthorized"


async def test_keys_made_in_open_mode_end_with_it(stores: Stores, closed: Identity) -> None:
    key, _ = await key_of(stores, OPEN_MODE_USER)
    opened = Identity(TOKENS, stores.api_keys, open_mode=True)
    for shown in (
        Credential(kind="api_key", value=key),
        Credential(kind="bearer", value=TOKENS.issue(OPEN_MODE_USER)),
    ):
        assert await opened.user_of(shown) == OPEN_MODE_USER
        assert await refused(closed, shown.kind, shown.value) == "unauthorized"


@pytest.mark.usefixtures("router")
async def test_a_question_over_the_bus_is_refused_without_its_credential(gateway: Bus) -> None:
    await gateway.ask(BOT_LIST, ListBots(credential=as_user("alice")), timeout_s=ASK_S)
    await gateway.ask(BOT_LIST, ListBots(credential=Credential()), timeout_s=ASK_S)
    for value in (signed(FORGED), TOKENS.issue("alice"), "cbk_x"):
        with pytest.raises(Refused) as told:
            credential = Credential(kind="bearer", value=value)
            await gateway.ask(BOT_LIST, ListBots(credential=credential), timeout_s=ASK_S)
        assert told.value.code == "unauthorized"
