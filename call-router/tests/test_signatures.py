"""Twilio's signature over a request as it arrived: what counts, what does not, who may come without one."""

import base64
import hashlib
import hmac
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbot.call_router.signatures import Signatures, is_signed
from callbot.runtime.errors import Refused
from callbot.schemas.calls import TwilioRequest

TOKEN = "12345"
PUBLIC = "https://mycompany.com"
FORM = [
    ("CallSid", "CA1234567890ABCDE"),
    ("Caller", "+14158675309"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
]
VECTOR = TwilioRequest(target="/myapp.php?foo=1&bar=2", form=FORM, signature="RSOYDt4T1cUTdK1PDd93/VVr8B8=")
"""Twilio's own example."""


def sign(url: str, form: list[tuple[str, str]], token: str = TOKEN) -> str:
    """Written from Twilio's page: the URL, then every parameter, sorted by its name."""
    said = url + "".join(name + value for name, value in sorted(form))
    return base64.b64encode(hmac.digest(token.encode(), said.encode(), hashlib.sha1)).decode()


def signed(signed_url: str, target: str, form: list[tuple[str, str]] | None = None) -> TwilioRequest:
    form = FORM if form is None else form
    return TwilioRequest(target=target, form=form, signature=sign(signed_url, form))


def changed(**fields: object) -> TwilioRequest:
    return TwilioRequest.model_validate(VECTOR.model_dump() | fields)


def test_twilios_own_example() -> None:
    assert is_signed(VECTOR, TOKEN, PUBLIC)


@pytest.mark.parametrize(
    "request_",
    [
        changed(signature=""),
        changed(signature="RSOYDt4T1cUTdK1PDd93/VVr8B8"),
        changed(signature="rSOYDt4T1cUTdK1PDd93/VVr8B8="),
        changed(signature="é" * 28),
        changed(target="/myapp.php?foo=1&bar=3"),
        changed(target="/myapp.php?bar=2&foo=1"),
        changed(target="/myapp.php"),
        changed(target="/v1/myapp.php?foo=1&bar=2"),
        changed(target=".evil.example/myapp.php?foo=1&bar=2"),
        changed(form=FORM[:-1]),
        changed(form=[*FORM, ("Added", "")]),
        changed(form=[*FORM[:-1], ("To", "+18005551213")]),
        changed(form=[]),
    ],
)
def test_whatever_is_changed_the_signature_is_worthless(request_: TwilioRequest) -> None:
    assert not is_signed(request_, TOKEN, PUBLIC)


def test_another_accounts_token_and_another_host_are_worthless() -> None:
    assert not is_signed(VECTOR, "12346", PUBLIC)
    assert not is_signed(VECTOR, TOKEN, "https://mycompany.com.evil.example")
    assert not is_signed(VECTOR, TOKEN, "http://mycompany.com")


def test_a_target_that_would_go_on_with_the_host_name_is_none() -> None:
    evil = signed("https://mycompany.com.evil.example/voice", ".evil.example/voice")
    assert not is_signed(evil, TOKEN, PUBLIC)


@pytest.mark.parametrize(
    ("public_url", "signed_url"),
    [
        ("https://x.example", "https://x.example/v1/voice"),
        ("https://x.example", "https://x.example:443/v1/voice"),
        ("https://x.example:8443", "https://x.example/v1/voice"),
        ("https://x.example:8443", "https://x.example:8443/v1/voice"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1/voice"),
        ("http://127.0.0.1", "http://127.0.0.1:80/v1/voice"),
        ("http://[::1]:8080", "http://[::1]:8080/v1/voice"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]/v1/voice"),
        ("https://user:secret@x.example:8443", "https://x.example/v1/voice"),
        ("https://X.example", "https://X.example/v1/voice"),
        ("https://x.example/callbot", "https://x.example/callbot/v1/voice"),
        ("https://x.example/callbot/", "https://x.example/callbot/v1/voice"),
    ],
)
def test_the_port_may_be_there_or_not(public_url: str, signed_url: str) -> None:
    assert is_signed(signed(signed_url, "/v1/voice"), TOKEN, public_url)


@pytest.mark.parametrize(
    ("public_url", "signed_url"),
    [
        ("https://x.example:8443", "https://x.example:443/v1/voice"),
        ("https://x.example", "https://x.example:8443/v1/voice"),
        ("https://x.example", "http://x.example/v1/voice"),
    ],
)
def test_another_port_is_another_url(public_url: str, signed_url: str) -> None:
    assert not is_signed(signed(signed_url, "/v1/voice"), TOKEN, public_url)


@pytest.mark.parametrize(
    "target",
    [
        "/v1/voice",
        "/voice?bot_id=bot_1",
        "/v1/voice?",
        "/v1/voice/?bot_id=a%20b&x=%C3%A9&y=%e2%82%ac&z=a+b",
        "/v1/%76oice;p=1?bot_id=%62ot",
        "/v1//voice?bot_id=",
    ],
)
def test_the_target_counts_as_it_was_written(target: str) -> None:
    assert is_signed(signed(PUBLIC + target, target), TOKEN, PUBLIC)


def test_what_means_the_same_is_not_the_same() -> None:
    asked = signed(PUBLIC + "/v1/voice?bot_id=a%20b", "/v1/voice?bot_id=a+b")
    assert not is_signed(asked, TOKEN, PUBLIC)


def test_all_parameters_count_also_empty_ones_and_those_that_nobody_knows() -> None:
    form = [*FORM, ("ToCity", ""), ("NewInWinter", "é +&=%"), ("callToken", '{"a": 1}')]
    asked = signed(f"{PUBLIC}/v1/voice", "/v1/voice", form)
    assert is_signed(asked, TOKEN, PUBLIC)
    dropped = asked.model_copy(update={"form": [f for f in form if f[0] != "NewInWinter"]})
    assert not is_signed(dropped, TOKEN, PUBLIC)


def test_upper_case_sorts_before_lower_case() -> None:
    form = [("b", "1"), ("B", "2"), ("a", "3")]
    wanted = base64.b64encode(
        hmac.digest(b"12345", f"{PUBLIC}/v1/voiceB2a3b1".encode(), hashlib.sha1)
    ).decode()
    assert is_signed(TwilioRequest(target="/v1/voice", form=form, signature=wanted), TOKEN, PUBLIC)


def test_a_repeated_parameter_counts_once_for_each_of_its_values() -> None:
    form = [("X", "b"), ("X", "a"), ("X", "b")]
    once = sign(f"{PUBLIC}/v1/voice", [("X", "a"), ("X", "b")])
    assert is_signed(TwilioRequest(target="/v1/voice", form=form, signature=once), TOKEN, PUBLIC)


def test_a_get_is_signed_by_its_url_alone() -> None:
    target = "/v1/voice?" + urlencode([("bot_id", "bot_1"), *FORM])
    assert is_signed(signed(PUBLIC + target, target, []), TOKEN, PUBLIC)
    assert not is_signed(signed(PUBLIC + target, target, FORM), "another", PUBLIC)


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=8))
def test_any_form_survives_its_way_as_twilio_sends_it(fields: dict[str, str]) -> None:
    form = list(fields.items())
    arrived = parse_qsl(urlencode(form), keep_blank_values=True)
    assert is_signed(
        TwilioRequest(target="/v1/voice", form=arrived, signature=sign(f"{PUBLIC}/v1/voice", form)),
        TOKEN,
        PUBLIC,
    )


UNSIGNED = VECTOR.model_copy(update={"signature": ""})
WRONG = VECTOR.model_copy(update={"signature": "x" * 28})
REQUIRED, OPEN = Signatures(PUBLIC), Signatures(PUBLIC, unsigned_allowed=True)


@pytest.mark.parametrize(
    ("signatures", "asked", "tokens", "taken"),
    [
        (REQUIRED, VECTOR, [TOKEN], True),
        (REQUIRED, VECTOR, ["other", TOKEN], True),
        (REQUIRED, VECTOR, ["other"], False),
        (REQUIRED, VECTOR, [], False),
        (REQUIRED, WRONG, [TOKEN], False),
        (REQUIRED, UNSIGNED, [TOKEN], False),
        (REQUIRED, UNSIGNED, [], False),
        (OPEN, VECTOR, [TOKEN], True),
        (OPEN, UNSIGNED, [TOKEN], True),
        (OPEN, UNSIGNED, [], True),
        (OPEN, WRONG, [], True),
        (OPEN, WRONG, [TOKEN], False),
        (OPEN, VECTOR, ["other"], False),
    ],
)
def test_who_may_come(signatures: Signatures, asked: TwilioRequest, tokens: list[str], taken: bool) -> None:
    if taken:
        signatures.check(asked, tokens)
        return
    with pytest.raises(Refused) as refused:
        signatures.check(asked, tokens)
    assert refused.value.code == "bad_signature"


@pytest.mark.parametrize(
    ("auth", "public_url", "unsigned"),
    [
        ("open", "http://127.0.0.1:8080", True),
        ("open", "http://localhost", True),
        ("open", "http://[::1]:8080", True),
        ("open", "https://bots.example", False),
        ("open", "https://127.0.0.1.evil.example", False),
        ("required", "http://127.0.0.1:8080", False),
        ("required", "https://bots.example", False),
    ],
)
def test_unsigned_requests_are_for_open_mode_on_this_machine(
    auth: str, public_url: str, unsigned: bool
) -> None:
    assert Signatures.of(auth, public_url).unsigned_allowed is unsigned
