"""A BCP 47 tag as Deepgram's models name a language.

https://developers.deepgram.com/docs/models-languages-overview, November 2026. A language that they do not
know is said before a connection is opened: the vendor would refuse it, and be innocent.
"""

from typing import Final

from callbot.runtime.errors import ProviderError

# fmt: off
FLUX: Final = frozenset({"de", "en", "es", "fr", "hi", "it", "ja", "nl", "pt", "ru"})
NOVA: Final = frozenset({
    "ar", "be", "bg", "bn", "bs", "ca", "cs", "da", "de", "el", "en", "es", "et", "fa", "fi", "fr",
    "gu", "he", "hi", "hr", "hu", "id", "it", "ja", "kn", "ko", "lt", "lv", "mk", "mr", "ms", "nl",
    "no", "pl", "pt", "ro", "ru", "sk", "sl", "sr", "sv", "ta", "te", "th", "tl", "tr", "uk", "ur",
    "vi", "zh",
})
NOVA_WITH_REGION: Final = frozenset({
    "da-DK", "de-CH", "en-AU", "en-GB", "en-IN", "en-NZ", "en-US", "es-419", "fr-CA", "ko-KR", "nl-BE",
    "pt-BR", "pt-PT", "sv-SE", "th-TH", "zh-CN", "zh-HK", "zh-TW",
})
LATIN_AMERICA: Final = frozenset({
    "AR", "BO", "CL", "CO", "CR", "CU", "DO", "EC", "GT", "HN", "MX", "NI", "PA", "PE", "PR", "PY",
    "SV", "US", "UY", "VE",
})
# fmt: on


def flux_language(tag: str) -> str:
    """Raises ProviderError."""
    base = tag.partition("-")[0].lower()
    if base not in FLUX:
        raise ProviderError("language_unknown", "Flux does not know this language", retryable=False)
    return base


def nova_language(tag: str) -> str:
    """With the region, where it makes a difference to Nova. Raises ProviderError."""
    base, *others = tag.split("-")
    base = base.lower()
    if base not in NOVA:
        raise ProviderError("language_unknown", "Nova does not know this language", retryable=False)
    # A script may stand between: zh-Hant-TW.
    region = others[-1].upper() if others else ""
    if base == "es" and region in LATIN_AMERICA:
        return "es-419"
    return f"{base}-{region}" if f"{base}-{region}" in NOVA_WITH_REGION else base
