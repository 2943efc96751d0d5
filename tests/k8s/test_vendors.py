"""A vendor's key reaches the services that use it, and no other: by `callbot up` and in Kubernetes."""

import importlib
import pkgutil
from collections import defaultdict

import pytest
from pydantic import AliasChoices

from callbot.runtime.settings import ProviderOptions
from callbot.schemas.subjects import SERVICES
from callbot.studio.up.plan import _may_have

from .cluster import Cluster, cluster

PROVIDERS = {
    "stt-worker": "callbot.stt_worker.providers",
    "dialog-worker": "callbot.dialog_worker.providers",
    "tts-worker": "callbot.tts_worker.providers",
}
OWN = {"stt-worker": "stt-vendors", "dialog-worker": "llm-vendors", "tts-worker": "tts-vendors"}
"""Which Secret a service takes its variables from, whatever their names are."""


def readers() -> dict[str, set[str]]:
    """A vendor's variable → the services that read it. Dialog-worker's are its endpoints'."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    found["OPENAI_API_KEY"] = found["OPENAI_BASE_URL"] = {"dialog-worker"}
    found["CALLBOT_LLM_2_API_KEY"] = {"dialog-worker"}
    for service, package in PROVIDERS.items():
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
            for kind in vars(importlib.import_module(module.name)).values():
                if isinstance(kind, type) and issubclass(kind, ProviderOptions):
                    for field in kind.model_fields.values():
                        for name in names(field.validation_alias):
                            found[name].add(service)
    return found


def names(alias: object) -> list[str]:
    if isinstance(alias, AliasChoices):
        return [str(one) for one in alias.choices]
    return [str(alias)] if alias else []


def test_every_vendor_is_looked_at() -> None:
    vendors = {"AWS", "CARTESIA", "CALLBOT", "DEEPGRAM", "ELEVENLABS", "GOOGLE", "OPENAI", "PLAYHT"}
    assert {name.partition("_")[0] for name in readers()} == vendors


@pytest.mark.parametrize(
    ("variable", "read_by"),
    # A voice's name is no secret, and begins like our own settings.
    sorted(one for one in readers().items() if one[0] != "CALLBOT_DEEPGRAM_TTS_VOICE"),
)
def test_callbot_up_gives_it_to_its_readers_alone(variable: str, read_by: set[str]) -> None:
    assert {service for service in SERVICES if _may_have(service, variable)} == read_by


def whole_secrets(found: Cluster, service: str) -> list[str]:
    sources = found.container(service).get("envFrom", ())
    return [one["secretRef"]["name"] for one in sources if "secretRef" in one]


@pytest.mark.parametrize("overlay", ["local", "prod", "hpa"])
def test_a_pod_has_the_secrets_of_its_own_vendors(overlay: str) -> None:
    found = cluster(overlay)
    for service in SERVICES:
        assert whole_secrets(found, service) == ([OWN[service]] if service in OWN else [])


def test_vendors_speech_reaches_the_internet_and_google_its_file() -> None:
    found, without = cluster("hpa"), cluster("prod")
    for service in SERVICES:
        template = found.deployment(service)["spec"]["template"]
        secrets = [v["secret"]["secretName"] for v in template["spec"]["volumes"] if "secret" in v]
        speaks = service in ("stt-worker", "tts-worker")
        assert secrets == (["google-speech"] if speaks else [])
        if speaks:
            assert template["metadata"]["labels"]["callbot/reaches"] == "public-https"
            labels = without.deployment(service)["spec"]["template"]["metadata"]["labels"]
            assert "callbot/reaches" not in labels


def test_no_settings_map_holds_a_key() -> None:
    """What is secret is a Secret: ConfigMaps are read by whoever may look at the namespace."""
    for overlay in ("prod", "hpa"):
        for one in cluster(overlay).all("ConfigMap"):
            keys = {name for name in one["data"] if name.endswith(("_API_KEY", "_TOKEN", "_KEYS", "_SECRET"))}
            assert keys == set(), one["metadata"]["name"]
