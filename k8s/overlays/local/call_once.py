"""After each deploy (skaffold.yaml): makes a bot and calls it. Exit code 0: every utterance got its reply."""

import json
import subprocess
import sys
import time
import urllib.request

GATEWAY = "http://127.0.0.1:8080"
WEBHOOK = "http://127.0.0.1:9000/bot"
READY_WITHIN_S = 120
SAY = ("table for four", "tomorrow at seven")


def main() -> int:
    bot = made_bot()
    said = [part for text in SAY for part in ("--say", text)]
    callbot = [sys.executable, "-m", "callbot.studio.cli"]
    call = ["call", "--to", bot, "--url", GATEWAY, "--voice", "scripted", *said]
    return subprocess.run([*callbot, *call], check=False).returncode


def made_bot() -> str:
    """Its id. The workers may still be starting: asks again until there is one."""
    deadline_s = time.monotonic() + READY_WITHIN_S
    wanted = {"goal": "Show that a call works", "webhook": WEBHOOK, "greeting": "Hello."}
    request = urllib.request.Request(
        f"{GATEWAY}/v1/bots", json.dumps(wanted).encode(), {"Content-Type": "application/json"}
    )
    while True:
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                return str(json.load(answer)["id"])
        except OSError as e:
            if time.monotonic() > deadline_s:
                raise
            print(f"waiting for the platform: {e}", flush=True)
            time.sleep(2)


if __name__ == "__main__":
    sys.exit(main())
