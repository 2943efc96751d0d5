"""Our signatures, against AWS's published examples and against botocore's signer."""

from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given
from hypothesis import strategies as st

from callbot.tts_worker.providers.aws_signature import Credentials, Scope, _key, signed

PUBLISHED = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
AT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
HOST = "https://example.amazonaws.com"


def test_the_signing_key_is_as_published() -> None:
    """https://docs.aws.amazon.com/general/latest/gr/signature-v4-examples.html"""
    key = _key(PUBLISHED.secret_access_key, "20150830", Scope("us-east-1", "iam"))
    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"


@pytest.mark.parametrize(
    ("method", "url", "signature"),
    [
        ("GET", f"{HOST}/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", f"{HOST}/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            "GET",
            f"{HOST}/?Param2=value2&Param1=value1",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        # The vectors of "normalize-path" have the signature of the plain one.
        ("GET", f"{HOST}/example/..", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("GET", f"{HOST}//", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        # Its path is not encoded on the wire.
        ("GET", f"{HOST}/ሴ", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
    ],
)
def test_aws_published_examples(method: str, url: str, signature: str) -> None:
    """Of the Signature Version 4 test suite: get-vanilla, post-vanilla, get-utf8 and so on."""
    headers = signed(method, url, {}, b"", credentials=PUBLISHED, scope=Scope("us-east-1", "service"), at=AT)
    assert headers == {
        "Host": "example.amazonaws.com",
        "X-Amz-Date": "20150830T123600Z",
        "Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={signature}",
    }


def test_the_published_example_of_iam() -> None:
    headers = signed(
        "GET",
        "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
        {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
        b"",
        credentials=PUBLISHED,
        scope=Scope("us-east-1", "iam"),
        at=AT,
    )
    assert headers["Authorization"].endswith(
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    )


VALUES = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=12)
PATHS = st.lists(st.text("abc ~:()é%", min_size=1, max_size=5), max_size=3)


@given(
    body=st.binary(max_size=40),
    path=PATHS,
    query=st.lists(st.tuples(VALUES, VALUES), max_size=4, unique_by=lambda pair: pair[0]),
    secret=st.text("abcXYZ019/+", min_size=1, max_size=40),
    token=st.sampled_from(["", "of/a+session=="]),
    content_type=st.sampled_from(["application/json", "  text/plain;   charset=utf-8 "]),
)
def test_botocore_signs_the_same(
    body: bytes, path: list[str], query: list[tuple[str, str]], secret: str, token: str, content_type: str
) -> None:
    url = "https://polly.eu-central-1.amazonaws.com/" + "/".join(quote(part, safe="") for part in path)
    if query:
        url += "?" + "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)
    ours = signed(
        "POST",
        url,
        {"Content-Type": content_type},
        body,
        credentials=Credentials("AKID", secret, token),
        scope=Scope("eu-central-1", "polly"),
        at=AT,
    )
    request = AWSRequest("POST", url, headers={"Content-Type": content_type}, data=body)
    request.context["timestamp"] = "20150830T123600Z"
    request.headers["X-Amz-Date"] = "20150830T123600Z"
    if token:
        request.headers["X-Amz-Security-Token"] = token
    signer = SigV4Auth(BotocoreCredentials("AKID", secret, token or None), "polly", "eu-central-1")
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    assert ours["Authorization"].endswith(f"Signature={signature}")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://a.example/x", "a.example"),
        ("https://a.example:443/x", "a.example"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://[::1]:80", "[::1]"),
        ("https://[::1]:80", "[::1]:80"),
    ],
)
def test_the_host_is_as_it_is_sent(url: str, host: str) -> None:
    assert signed("GET", url, {}, b"", credentials=PUBLISHED, scope=Scope("r", "s"), at=AT)["Host"] == host


def test_secrets_are_not_shown() -> None:
    shown = repr(Credentials("AKID", "the-secret", "the-token"))
    assert "AKID" in shown
    assert "the-" not in shown
