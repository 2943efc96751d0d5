"""The manifests of one overlay as kustomize renders them, and how a pod of it would see its environment."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
OVERLAYS = {
    "local": "k8s/overlays/local",
    "prod": "k8s/overlays/prod",
    "hpa": "k8s/checks/hpa-and-mongodb-elsewhere",
}
SERVICES = ("gateway", "call-router", "stt-worker", "dialog-worker", "tts-worker")
Manifest = dict[str, Any]


@dataclass
class Cluster:
    """What an overlay would bring to the API server."""

    name: str
    manifests: list[Manifest]

    def all(self, kind: str) -> Iterator[Manifest]:
        yield from (one for one in self.manifests if one["kind"] == kind)

    def one(self, kind: str, name: str) -> Manifest:
        return next(m for m in self.all(kind) if m["metadata"]["name"] == name)

    def workloads(self) -> list[Manifest]:
        return [*self.all("Deployment"), *self.all("StatefulSet")]

    def pods(self) -> list[Manifest]:
        """The template of each workload's pods."""
        return [workload["spec"]["template"] for workload in self.workloads()]

    def deployment(self, service: str) -> Manifest:
        return self.one("Deployment", service)

    def container(self, service: str) -> Manifest:
        containers = self.deployment(service)["spec"]["template"]["spec"]["containers"]
        return next(c for c in containers if c["name"] == "service")

    def environment(self, service: str) -> dict[str, str]:
        """As the kubelet makes it. Secrets have something of the right form; local has no optional ones."""
        container = self.container(service)
        told: dict[str, str] = {}
        for source in container.get("envFrom", ()):
            if "configMapRef" in source:
                told |= self.one("ConfigMap", source["configMapRef"]["name"])["data"]
        for variable in container["env"]:
            value = variable.get("value", "")
            if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                if reference.get("optional") and self.name == "local":
                    continue
                value = _secret(reference)
            told[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda m: told.get(m[1], m[0]), value)
        return told


def _secret(reference: Manifest) -> str:
    if reference["name"].startswith("key-rings"):
        return "test:" + "A" * 43 + "="
    forms = {"url": "mongodb://mongodb", "account-sid": "AC" + "0" * 32}
    return forms.get(reference["key"], "a-password")


@cache
def _text(folder: str) -> str:
    beside = ROOT / ".venv-k8s" / "bin" / "kubectl"
    kubectl = str(beside) if beside.exists() else shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed, and `make check-k8s` has not brought one")
    done = subprocess.run([kubectl, "kustomize", ROOT / folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def cluster(name: str) -> Cluster:
    """A new one each time, so that a test may break it."""
    return Cluster(name, [m for m in yaml.safe_load_all(_text(OVERLAYS[name])) if m])


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    """A label selector (matchLabels, and `In` of matchExpressions); an empty one selects everything."""
    by_labels = all(labels.get(k) == v for k, v in selector.get("matchLabels", {}).items())
    by_values = all(labels.get(e["key"]) in e["values"] for e in selector.get("matchExpressions", ()))
    return by_labels and by_values


def megabytes(quantity: str) -> float:
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", quantity).groups()  # type: ignore[union-attr]
    return float(number) * {"Ki": 1 / 1024, "Mi": 1, "MiB": 1, "Gi": 1024}[unit]
