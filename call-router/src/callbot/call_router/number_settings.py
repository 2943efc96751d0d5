"""What we set at a Twilio number, what it was before, and what is put back. Pure.

The fields are those of https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource.
"""

from collections.abc import Mapping

from yarl import URL

from callbot.call_router.twilio_api import PhoneNumber

VOICE_PATH = "/v1/voice"
FALLBACK_PATH = "/v1/voice/fallback"
STATUS_PATH = "/v1/voice/status"
URL_GROUPS = (
    ("VoiceUrl", "VoiceMethod"),
    ("VoiceFallbackUrl", "VoiceFallbackMethod"),
    ("StatusCallback", "StatusCallbackMethod"),
)
APPLICATION, TRUNK = "VoiceApplicationSid", "TrunkSid"
"""Either of them makes Twilio ignore the voice URLs; setting one deletes the other."""
DEFAULT_METHOD = "POST"


class NumberSettings:
    """For numbers whose calls come to `public_url`."""

    def __init__(self, public_url: str) -> None:
        self._public = public_url.rstrip("/")

    def of_a_new_number(self) -> dict[str, str]:
        urls = (VOICE_PATH, FALLBACK_PATH, STATUS_PATH)
        ours: dict[str, str] = {}
        for (url, method), path in zip(URL_GROUPS, urls, strict=True):
            ours |= {url: self._public + path, method: DEFAULT_METHOD}
        return ours

    def ours(self) -> dict[str, str]:
        return {**self.of_a_new_number(), APPLICATION: "", TRUNK: ""}

    def before(self, number: PhoneNumber, earlier: Mapping[str, str] | None) -> dict[str, str]:
        """What is put back one day. Where the number shows what we have set, `earlier` knows what was there;
        None: we have not touched it, as far as anybody knows."""
        now, remembered = _now(number), dict(earlier or {})
        bases = self._bases(now, ours_before=earlier is not None)
        for url, method in URL_GROUPS:
            if _begins_with(now[url], bases):
                remembered.setdefault(url, "")
                remembered.setdefault(method, DEFAULT_METHOD)
            else:
                remembered |= {url: now[url], method: now[method] or DEFAULT_METHOD}
        if now[APPLICATION] or now[TRUNK] or not _begins_with(now["VoiceUrl"], bases):
            remembered |= {APPLICATION: now[APPLICATION], TRUNK: now[TRUNK]}
        return remembered

    def put_back(self, number: PhoneNumber, before: Mapping[str, str]) -> dict[str, str]:
        """Changes for a number that is no longer ours, maybe none: what its owner has set meanwhile stays."""
        now = _now(number)
        bases = self._bases(now, ours_before=True)
        changes: dict[str, str] = {}
        for url, method in URL_GROUPS:
            if _begins_with(now[url], bases):
                changes |= {url: before.get(url, ""), method: before.get(method, DEFAULT_METHOD)}
        if "VoiceUrl" in changes and not now[APPLICATION] and not now[TRUNK]:
            # Only the one that was set: the empty other one might delete it.
            changes |= {sid: before[sid] for sid in (APPLICATION, TRUNK) if before.get(sid)}
        return changes

    def _bases(self, now: Mapping[str, str], *, ours_before: bool) -> list[URL]:
        """Under these, URLs are ours: today's public address, and the one of when we set the number."""
        bases = [URL(self._public)]
        base = now["VoiceUrl"].removesuffix(VOICE_PATH)
        ours_then = (base + VOICE_PATH, base + FALLBACK_PATH, base + STATUS_PATH)
        if ours_before and ours_then == tuple(now[url] for url, _ in URL_GROUPS) and (then := _read(base)):
            bases.append(then)
        return bases


def _now(number: PhoneNumber) -> dict[str, str]:
    return {
        "VoiceUrl": number.voice_url,
        "VoiceMethod": number.voice_method,
        "VoiceFallbackUrl": number.voice_fallback_url,
        "VoiceFallbackMethod": number.voice_fallback_method,
        "StatusCallback": number.status_callback,
        "StatusCallbackMethod": number.status_callback_method,
        APPLICATION: number.voice_application_sid,
        TRUNK: number.trunk_sid,
    }


def _begins_with(url: str, bases: list[URL]) -> bool:
    parsed = _read(url)
    return parsed is not None and any(
        _place(parsed) == _place(base) and _is_under(parsed.path, base.path) for base in bases
    )


def _read(url: str) -> URL | None:
    """None: Twilio keeps what it was given, whatever that is."""
    try:
        return URL(url)
    except ValueError:
        return None


def _place(url: URL) -> tuple[str, str | None, int | None]:
    """The same in capitals, and with the port that the scheme implies."""
    return url.scheme, url.host, url.port


def _is_under(path: str, base: str) -> bool:
    return path == base or path.startswith(base.rstrip("/") + "/")
