"""`make test-images`: the platform of the local overlay as containers, and a call through it.

NATS with its generated permissions and what stands in for MongoDB have containers of their own, on a private
network without a way out. Nothing may write to its root, nothing has a capability or can get one.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.containers.pods import LOCKED, USER, Container, containers
from tests.k8s.cluster import SERVICES, cluster

PREFIX = "callbot-test"
SERVERS_IMAGE = "callbot-servers"
"""studio with its extra `embedded`: nats-server and the stand-in for MongoDB."""
MONGO = (
    "secantusd-py",
    "--host",
    "0.0.0.0",
    "--port",
    "27017",
    "--storage-path",
    "/data",
    "--log-level",
    "WARNING",
)
READY_WITHIN_S = 60
STOP_WITHIN_S = 20
WAIT_UNTIL_READY = f"""
import time, urllib.request
deadline_s = time.monotonic() + {READY_WITHIN_S}
while True:
    try:
        with urllib.request.urlopen("http://127.0.0.1:8081/ready", timeout=2) as answer:
            print(time.time())
            break
    except OSError as e:
        if time.monotonic() > deadline_s:
            raise SystemExit(f"not ready: {{e}}")
        time.sleep(0.05)
"""
LOOK_AT_SELF = """
import json, pathlib
status = dict(line.split(":\\t", 1) for line in open("/proc/1/status") if ":\\t" in line)
written = []
for folder in ("/", "/opt/service", "/opt/callbot", "/etc", "/var/tmp", "/run"):
    try:
        pathlib.Path(folder, "written").write_text("x")
        written.append(folder)
    except OSError:
        continue
wanted = ("Uid", "CapEff", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp")
print(json.dumps({"written": written, **{name: status[name].strip() for name in wanted}}))
"""
TRESPASS = """
import asyncio, os, nats
from callbot.schemas.subjects import BOT_CREATE
async def main():
    told = []
    async def on_error(e):
        told.append(str(e))
    bus = await nats.connect(os.environ["NATS_URL"], error_cb=on_error)
    await bus.publish(BOT_CREATE.wildcard, b"{}")
    await bus.flush()
    await asyncio.sleep(0.2)
    await bus.close()
    print(" ".join(told) or "nothing was refused")
asyncio.run(main())
"""


class Wrong(Exception):
    """What was not as it must be."""


class Engine:
    def __init__(self, program: str) -> None:
        self.program = program

    def __call__(self, *arguments: str, check: bool = True) -> str:
        """What it prints. Raises Wrong."""
        command = [self.program, *arguments]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise Wrong(
                f"{' '.join(arguments[:3])} …: exit code {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def python(self, service: str, program: str) -> str:
        """What `program` prints, run in the service's container."""
        return self("exec", f"{PREFIX}-{service}-service", "python", "-c", program).strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default="", help="the program podman or docker")
    wanted = parser.parse_args()
    if not wanted.engine:
        sys.exit("there is neither podman nor docker on this machine: the images cannot be tried")
    engine = Engine(wanted.engine)
    with TemporaryDirectory() as folder, private_network(engine):
        Path(folder).chmod(0o755)
        try:
            start_servers(engine, Path(folder))
            start_services(engine, Path(folder))
            look(engine)
            trespass(engine)
            call(engine)
            stop(engine)
        except Wrong as e:
            for service in SERVICES:
                print(f"--- {service}\n{logs(engine, service)[-3000:]}")
            sys.exit(f"wrong: {e}")


@contextmanager
def private_network(engine: Engine) -> Iterator[None]:
    """Also what an earlier run has left is removed."""
    remove_all(engine)
    engine("network", "create", "--internal", PREFIX)
    try:
        yield
    finally:
        remove_all(engine)


def remove_all(engine: Engine) -> None:
    ours = engine("ps", "--all", "--filter", f"name=^{PREFIX}-", "--format", "{{.Names}}").split()
    # Who has joined another's network goes first.
    for name in sorted(ours, key=lambda name: name.endswith("-service")):
        engine("rm", "--force", name)
    engine("network", "rm", PREFIX, check=False)


def start_servers(engine: Engine, files: Path) -> None:
    (nats, *_) = containers(cluster("local"), "StatefulSet", "nats", files)
    # Its image is of a registry; the program is the same one.
    start(engine, Container("nats", "service", SERVERS_IMAGE, nats.flags, nats.command))
    memory = ("--tmpfs=/data:rw,size=512m,mode=1777", "--tmpfs=/tmp:rw,size=64m,mode=1777", "--env=HOME=/tmp")
    start(engine, Container("mongodb", "service", SERVERS_IMAGE, memory, MONGO))


def start_services(engine: Engine, files: Path) -> None:
    """One after the other, each with what else is in its pod; prints how long each takes to be ready."""
    for service in SERVICES:
        first, *others = containers(cluster("local"), "Deployment", service, files)
        if service == "call-router":
            # The stand-in has no users, and calls itself 0.0.0.0.
            flags = (*first.flags, "--env=MONGO_URL=mongodb://mongodb:27017/callbot?directConnection=true")
            first = Container(first.pod, first.name, first.image, flags, first.command)
        name = start(engine, first)
        for other in others:
            start(engine, other)
        ready_s = float(engine.python(service, WAIT_UNTIL_READY))
        began = engine("inspect", "--format", "{{json .State.StartedAt}}", name)
        took_s = ready_s - datetime.fromisoformat(shortened(json.loads(began))).timestamp()
        print(f"{service:14} ready {took_s:.1f} s after its start", flush=True)


def start(engine: Engine, container: Container) -> str:
    name = f"{PREFIX}-{container.pod}-{container.name}"
    arguments = container.run(PREFIX, PREFIX)
    if Path(engine.program).name == "podman":
        # Podman, unlike the kubelet, would make /run, /tmp and /var/tmp writable.
        arguments.insert(1, "--read-only-tmpfs=false")
    engine(*arguments)
    return name


def shortened(instant: str) -> str:
    """`2026-11-21T11:39:57.123456789Z` has more digits than Python reads."""
    return re.sub(r"(\.\d{6})\d*", r"\1", instant)


def look(engine: Engine) -> None:
    """As the processes themselves see it, not as it was asked for."""
    for service in SERVICES:
        found = json.loads(engine.python(service, LOOK_AT_SELF))
        capabilities = {int(found[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")}
        user = set(found["Uid"].split())
        if found["written"] or capabilities != {0} or found["NoNewPrivs"] != "1" or user != {"10001"}:
            raise Wrong(f"{service}: {found}")
    print(f"every service: {USER} {' '.join(LOCKED)}, as its process sees it")


def trespass(engine: Engine) -> None:
    told = engine.python("stt-worker", TRESPASS)
    if "permissions violation" not in told.lower():
        raise Wrong(f"stt-worker asks for a new bot, which it may not: {told}")
    print(f"stt-worker asks for a new bot: {told}")


def call(engine: Engine) -> None:
    """As skaffold does after each deploy (skaffold.yaml)."""
    print(engine("exec", f"{PREFIX}-gateway-phone", "python", "/phone/call_once.py"), flush=True)


def stop(engine: Engine) -> None:
    """At SIGTERM each ends by itself, with exit code 0."""
    for service in SERVICES:
        name = f"{PREFIX}-{service}-service"
        began_s = time.monotonic()
        engine("stop", "--time", str(STOP_WITHIN_S), name)
        took_s = time.monotonic() - began_s
        code = engine("inspect", "--format", "{{.State.ExitCode}}", name).strip()
        if code != "0" or "Traceback" in logs(engine, service):
            raise Wrong(f"{service} ended with exit code {code}")
        print(f"{service:14} stopped in {took_s:.1f} s")


def logs(engine: Engine, service: str) -> str:
    command = [engine.program, "logs", f"{PREFIX}-{service}-service"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout


if __name__ == "__main__":
    main()
