"""The containers of a rendered overlay as commands of podman or docker: what the kubelet would start, nearly.

A pod's containers share one network namespace, as there. Each has its pod's environment, files, temporary
directories and user. Probes, resources and NetworkPolicies are not taken over.
"""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.k8s.cluster import Cluster, Manifest

LOCKED = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges")
USER = "--user=10001:10001"


@dataclass(frozen=True)
class Container:
    pod: str
    name: str
    image: str
    flags: tuple[str, ...]
    command: tuple[str, ...]
    """In the place of the image's entry point, if there is one."""

    def run(self, prefix: str, network: str) -> list[str]:
        """Arguments for the engine. The first of a pod, `service`, is on the network; the others join it."""
        first = self.name == "service"
        net = [f"--network={network}", f"--network-alias={self.pod}"]
        if not first:
            net = [f"--network=container:{prefix}-{self.pod}-service"]
        entry = [f"--entrypoint={self.command[0]}"] if self.command else []
        name = f"--name={prefix}-{self.pod}-{self.name}"
        flags = [name, *net, USER, *LOCKED, *self.flags, *entry]
        return ["run", "--detach", *flags, self.image, *self.command[1:]]


def containers(cluster: Cluster, kind: str, pod: str, files: Path) -> Iterator[Container]:
    """Of one Deployment or StatefulSet, `service` first. What they mount is written into `files`."""
    spec = cluster.one(kind, pod)["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in spec.get("volumes", ())}
    for container in [*spec["containers"], *spec.get("initContainers", ())]:
        name = "service" if container["name"] == pod else container["name"]
        told = environment(cluster, container, f"{pod}-0")
        flags = [f"--env={key}={value}" for key, value in told.items()]
        for mount in container.get("volumeMounts", ()):
            flags += mounted(cluster, mount, volumes.get(mount["name"], {}), files)
        command = tuple(str(part) for part in (*container.get("command", ()), *container.get("args", ())))
        yield Container(pod, name, container["image"], tuple(flags), command)


def environment(cluster: Cluster, container: Manifest, pod_name: str) -> dict[str, str]:
    """A reference to what the overlay does not hold must be an optional one."""
    told: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if key in source:
                told |= values(cluster, kind, source[key])
    for variable in container.get("env", ()):
        value = variable.get("value", "")
        if source := variable.get("valueFrom"):
            if "fieldRef" in source:
                value = pod_name
            else:
                reference = source["secretKeyRef"]
                found = values(cluster, "Secret", reference)
                if reference["key"] not in found:
                    continue
                value = found[reference["key"]]
        told[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda match: told[match[1]], value)
    return told


def values(cluster: Cluster, kind: str, reference: Manifest) -> dict[str, str]:
    found = [one for one in cluster.all(kind) if one["metadata"]["name"] == reference["name"]]
    if not found:
        assert reference.get("optional"), f"the overlay has no {kind} {reference['name']}"
        return {}
    data: dict[str, str] = found[0]["data"]
    if kind == "Secret":
        return {key: base64.b64decode(value).decode() for key, value in data.items()}
    return data


def mounted(cluster: Cluster, mount: Manifest, volume: Manifest, files: Path) -> Iterator[str]:
    """A ConfigMap as files; what a pod may write, and a claim, as memory."""
    where: Any = mount["mountPath"]
    if "configMap" in volume:
        name = volume["configMap"]["name"]
        folder = files / name
        folder.mkdir(parents=True, exist_ok=True)
        for key, text in cluster.one("ConfigMap", name)["data"].items():
            (folder / key).write_text(text)
            (folder / key).chmod(0o644)
        folder.chmod(0o755)
        yield f"--volume={folder}:{where}:ro"
    else:
        limit = volume.get("emptyDir", {}).get("sizeLimit", "256Mi").removesuffix("i").lower()
        yield f"--tmpfs={where}:rw,size={limit},mode=1777"
