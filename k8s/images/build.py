"""`make images`: builds the images that skaffold.yaml names, and says how large each is above its base.

Podman or Docker (BuildKit). pip's own configuration and certificates of this machine, where it has some, are
handed to the build as secrets.
"""

import argparse
import ast
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
BASE = "python:3.11-slim-bookworm"
SERVICES = ("gateway", "call-router", "stt-worker", "dialog-worker", "tts-worker", "studio")
LARGEST_MB = {"gateway": 150}
"""Above the base; more is a failure."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default="", help="the program podman or docker")
    parser.add_argument("--base", default="", help=f"BASE_IMAGE (default: {BASE})")
    parser.add_argument("--flags", default="", help="more for `build`, as in a shell")
    parser.add_argument(
        "images", nargs="*", help="SERVICE or NAME=SERVICE:EXTRAS; default: all, without extras"
    )
    wanted = parser.parse_args()
    if not wanted.engine:
        sys.exit("there is neither podman nor docker on this machine: no image can be built")
    base = wanted.base or BASE
    with TemporaryDirectory() as folder:
        flags = [*shlex.split(wanted.flags), *secrets(Path(folder)), f"--build-arg=BASE_IMAGE={base}"]
        build_all(wanted.engine, base, flags, wanted.images or SERVICES)


def build_all(engine: str, base: str, flags: Sequence[str], names: Sequence[str]) -> None:
    too_large = []
    for name in names:
        image, service, extras = parsed(name)
        began_s = time.monotonic()
        build(engine, image, [*flags, f"--build-arg=EXTRAS={extras}"], service)
        took_s = time.monotonic() - began_s
        megabytes = size_mb(engine, image) - size_mb(engine, base)
        print(f"{image:24} {megabytes:5.0f} MB above {base}, built in {took_s:.0f} s", flush=True)
        if megabytes > LARGEST_MB.get(name, megabytes):
            too_large.append(f"{image} may have {LARGEST_MB[name]} MB")
    if too_large:
        sys.exit("; ".join(too_large))


def parsed(name: str) -> tuple[str, str, str]:
    """`gateway` or `callbot-mouth=tts-worker:piper` → image, service, extras."""
    image, _, rest = name.rpartition("=")
    service, _, extras = rest.partition(":")
    return image or f"callbot-{service}", service, extras


def build(engine: str, image: str, flags: list[str], service: str) -> None:
    """What it says is shown only if it fails."""
    which = ("--file", "k8s/Dockerfile", f"--build-arg=SERVICE={service}", "--tag", image)
    command = [engine, "build", *flags, *which, "."]
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\n{shlex.join(command)}: exit code {done.returncode}")


def size_mb(engine: str, image: str) -> float:
    """All layers, uncompressed."""
    command = [engine, "image", "inspect", "--format", "{{.Size}}", image]
    return int(subprocess.run(command, capture_output=True, check=True).stdout) / 1e6


def secrets(folder: Path) -> Iterator[str]:
    """Flags of `build`: see the top of k8s/Dockerfile. What pip is told here, from all its files, as one."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    config: dict[str, str] = {}
    for line in told.splitlines():
        name, _, value = line.partition("=")
        # Sections are `global`, `:env:` and names of commands, for which nothing is needed here.
        if (section := name.partition(".")[0]) in ("global", ":env:", "install"):
            config[name.removeprefix(f"{section}.")] = str(ast.literal_eval(value))
    if certificates := config.pop("cert", ""):
        config["cert"] = CERTIFICATES
        yield f"--secret=id=ca-certificates.crt,src={certificates}"
    if config:
        # A second line of a value begins with a space.
        lines = [f"{name} = {value}".replace("\n", "\n ") for name, value in config.items()]
        (folder / "pip.conf").write_text("\n".join(["[global]", *lines, ""]))
        yield f"--secret=id=pip.conf,src={folder / 'pip.conf'}"


if __name__ == "__main__":
    main()
