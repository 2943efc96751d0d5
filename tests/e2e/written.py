"""All that a platform writes and answers, and whether a secret is in it."""

import base64
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import aiohttp

from callbot.studio.up.running import Platform

MEANT_FOR_SECRETS = frozenset(
    {"nats.conf", "token-keys", "jwt-keys", "secret-keys", "webhook-keys", "twilio-accounts.json"}
)
"""In the data directory; for their owner's eyes alone."""
LEAST = 8
"""Shorter pieces of a secret are found anywhere by chance."""


@dataclass
class Written:
    """Where it stands → what it says. Whatever else writes (an exporter of traces) is added with `add`."""

    texts: dict[str, bytes] = field(default_factory=dict)

    def add(self, where: str, text: str | bytes) -> None:
        self.texts[f"{where} #{len(self.texts)}"] = text.encode() if isinstance(text, str) else text

    async def add_platform(self, platform: Platform) -> None:
        """Its log, its files, what its processes are called and what they tell of themselves."""
        self.add("log", platform.log.read_bytes())
        for file in sorted(path for path in platform.data.rglob("*") if path.is_file()):
            if file.name not in MEANT_FOR_SECRETS:
                self.add(f"file {file.relative_to(platform.data)}", file.read_bytes())
        async with aiohttp.ClientSession() as http:
            for row in await platform.ps():
                for what in ("cmdline", "comm"):
                    self.add(f"{what} of {row['service']}", of_process(row["pid"], what))
                for path in ("/status", "/ready", "/live", "/metrics"):
                    if row["service"] not in ("nats", "mongo"):
                        async with http.get(f"http://127.0.0.1:{row['port']}{path}") as answer:
                            self.add(f"{path} of {row['service']}", await answer.read())

    def leaks(self, secrets: dict[str, str]) -> list[str]:
        """`name of the secret: where it stands`, whatever it is written as."""
        forms = {name: re.compile(b"|".join(map(re.escape, forms_of(one)))) for name, one in secrets.items()}
        return [
            f"{name}: {where}"
            for where, text in self.texts.items()
            for name, form in forms.items()
            if form.search(text)
        ]


def forms_of(secret: str) -> list[bytes]:
    """As it is, in a URL, as hexadecimal digits, in both alphabets of base64 wherever it may begin."""
    raw = secret.encode()
    found = {raw, quote(secret, safe="").encode(), raw.hex().encode(), raw.hex().upper().encode()}
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + raw)
        # Its first and last characters depend on what stands around it.
        inner = coded[-(-before * 8 // 6) : len(coded) - 4]
        found |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return sorted(form for form in found if len(form) >= LEAST)


def of_process(pid: int, what: str) -> bytes:
    """`cmdline`, `comm`, `environ`, as in proc(5)."""
    return Path(f"/proc/{pid}/{what}").read_bytes()


def are_private(data: Path) -> list[str]:
    """Files for secrets that others than their owner may open."""
    return [
        name for name in MEANT_FOR_SECRETS if (data / name).exists() and (data / name).stat().st_mode & 0o077
    ]
