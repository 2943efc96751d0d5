"""The API against its documents: linter, Postman collection, curl scripts, generated requests.

`make check-api [EXAMPLES=100] [SEED=…] [AUTH=required]`: starts a platform of its own, needs node 20 and npm
besides. All of them run before it fails; what each has written lies in build/check-api.
"""

import argparse
import asyncio
import os
import random
import shutil
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from callbot.studio.emulator.call_command import Step, StepKind, place_call
from callbot.studio.emulator.rest_client import owned
from callbot.studio.up.running import Platform, running_platform

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
WORK = ROOT / "build" / "check-api"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "use_after_free",
    "ignored_auth",
)
ROOMY = {"CALLBOT_AUTH_ATTEMPTS_PER_ADDRESS": "100000", "CALLBOT_KEYS_PER_USER": "1000"}
"""Thousands of sign-ups from one address; the other limits stay as they are, and are met."""
ACCOUNT = {"email": "examples@example.com", "password": "correct horse battery"}
INSTALL_WITHIN_S = 300.0
CHECK_WITHIN_S = 120.0
EXAMPLE_WITHIN_S = 1.0
"""For all operations together; most take a tenth of it."""


class Checks:
    """Runs programs, and remembers which of them were not content."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    async def run(
        self, name: str, *argv: str, within_s: float = CHECK_WITHIN_S, env: Mapping[str, str] | None = None
    ) -> None:
        """What it writes goes to build/check-api/{name}.log; its end also here, when it fails."""
        began = time.monotonic()
        log = WORK / f"{name.replace(' ', '-')}.log"
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                *argv,
                cwd=WORK,
                env={**os.environ, "NO_COLOR": "1", "REDOCLY_TELEMETRY": "off", **(env or {})},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=asyncio.subprocess.STDOUT,
            )
            try:
                async with asyncio.timeout(within_s):
                    code: int | str = await process.wait()
            except TimeoutError:
                process.kill()
                code = f"killed after {within_s:g} s"
        took_s = time.monotonic() - began
        print(f"{'ok    ' if code == 0 else 'FAILED'} {name} ({took_s:.0f} s)", flush=True)
        if code != 0:
            self.failed.append(name)
            print(log.read_text(errors="replace")[-6000:])
            print(f"{name}: exit code {code}; all of it: {log.relative_to(ROOT)}")


async def install() -> None:
    """linter and runner into build/check-api, once for each lock file. Raises SystemExit."""
    lock, installed = HERE / "package-lock.json", WORK / "node_modules" / ".installed"
    if installed.exists() and installed.read_bytes() == lock.read_bytes():
        return
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("npm is not installed: node 20 or later is needed for this check")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, WORK / name)
    checks = Checks()
    await checks.run("npm", npm, "ci", "--no-audit", "--no-fund", within_s=INSTALL_WITHIN_S)
    if checks.failed:
        sys.exit(1)
    installed.write_bytes(lock.read_bytes())


@asynccontextmanager
async def webhook() -> AsyncIterator[str]:
    """A customer's server that always has the same answer; its URL."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({"say": "Got it! Name please?", "action": "continue"})

    app = web.Application()
    app.router.add_post("/bot", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/bot"
    finally:
        await runner.cleanup()


async def token_with_a_call(platform: Platform, hook: str) -> str:
    """A new user's access token; the user has a bot, and a call that was held with it."""
    async with aiohttp.ClientSession(f"{platform.url}/v1/", raise_for_status=True) as api:
        await (await api.post("auth/signup", json=ACCOUNT)).read()
        token: str = (await (await api.post("auth/token", json=ACCOUNT)).json())["access_token"]
        api.headers["Authorization"] = f"Bearer {token}"
        bot = await (await api.post("bots", json={"goal": "Book a table", "webhook": hook})).json()
    with (WORK / "call.log").open("w") as log:
        steps = [Step(StepKind.SAY, "Table for four at seven")]
        code = await place_call(
            bot["id"],
            steps,
            url=platform.url,
            voice="scripted",
            twilio=platform.twilio,
            token=token,
            out=log,
        )
    if code != 0:
        sys.exit(f"the call was not held: {(WORK / 'call.log').read_text()}")
    return token


async def twilio_number(platform: Platform) -> dict[str, str]:
    """What connects the number of the emulated Twilio's customer."""
    customer = platform.twilio.accounts.customer
    (number, *_) = await owned(platform.twilio, customer)
    return {
        "TWILIO_ACCOUNT_SID": customer.sid,
        "TWILIO_AUTH_TOKEN": customer.auth_token or "",
        "TWILIO_PHONE_NUMBER_SID": number["sid"],
    }


async def check_with_customers(
    checks: Checks, platform: Platform, hook: str, token: str, *, is_open: bool
) -> None:
    """What customers are given: the collection and the scripts."""
    number = await twilio_number(platform)
    told = {"base": platform.url, "webhook": hook, "unsigned_calls": "yes" if is_open else ""}
    told |= {k.lower(): v for k, v in number.items()}
    variables = [part for name, value in told.items() for part in ("--env-var", f"{name}={value}")]
    newman = str(WORK / "node_modules" / ".bin" / "newman")
    collection = str(ROOT / "docs" / "postman-collection.json")
    await checks.run("postman collection", newman, "run", collection, "--bail", "failure", *variables)
    base = {"BASE": platform.url}
    curl = str(ROOT / "docs" / "curl-commands.sh")
    await checks.run("curl commands", "bash", curl, env={**base, **number})
    await checks.run("curl commands with a token", "bash", curl, env={**base, "TOKEN": token})
    if not is_open:
        print("left out: curl test voice, for a platform in open mode")
        return
    await checks.run("curl test voice", "bash", str(ROOT / "docs" / "curl_test_voice.sh"), env=base)


async def check_with_examples(
    checks: Checks, platform: Platform, token: str, *, examples: int, seed: int
) -> None:
    """schemathesis: requests made from the served document, good and bad ones."""
    print(f"schemathesis: {examples} examples for each operation, seed {seed}", flush=True)
    await checks.run(
        "schemathesis",
        str(Path(sys.executable).parent / "schemathesis"),
        *("--config-file", str(HERE / "schemathesis.toml"), "--no-color"),
        *("run", f"{platform.url}/openapi.json", "--header", f"Authorization: Bearer {token}"),
        *("--checks", ",".join(CHECKS), "--max-examples", str(examples), "--seed", str(seed)),
        *("--generation-database", "none", "--request-timeout", "20", "--warnings", "off"),
        *("--report", "har", "--report-har-path", str(WORK / "schemathesis.har")),
        within_s=CHECK_WITHIN_S + examples * EXAMPLE_WITHIN_S,
    )
    summary = (WORK / "schemathesis.log").read_text(errors="replace").rpartition("SUMMARY ===")[2]
    print(summary.partition("\n")[2].strip())


async def check(examples: int, seed: int, auth: str) -> list[str]:
    """Names of what was not content."""
    WORK.mkdir(parents=True, exist_ok=True)
    await install()
    checks = Checks()
    redocly = str(WORK / "node_modules" / ".bin" / "redocly")
    document, rules = str(ROOT / "docs" / "openapi.yaml"), str(HERE / "redocly.yaml")
    await checks.run("redocly lint", redocly, "lint", document, "--config", rules)
    env = {**ROOMY, "CALLBOT_AUTH": auth}
    async with running_platform("--scripted", env=env) as platform, webhook() as hook:
        try:
            token = await token_with_a_call(platform, hook)
            await check_with_customers(checks, platform, hook, token, is_open=auth == "open")
            await check_with_examples(checks, platform, token, examples=examples, seed=seed)
        finally:
            shutil.copy(platform.log, WORK / "platform.log")
    return checks.failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="for each operation (default: 100)")
    parser.add_argument("--seed", type=int, help="default: a random one, which is printed")
    parser.add_argument("--auth", choices=("open", "required"), default="open", help="(default: open)")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    began = time.monotonic()
    failed = asyncio.run(check(options.examples, seed, options.auth))
    print(f"{time.monotonic() - began:.0f} s")
    if failed:
        sys.exit(f"not content: {', '.join(failed)}")
    print("The API is what its documents say.")


if __name__ == "__main__":
    main()
