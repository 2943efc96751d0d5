"""What keeps `callbot up` from starting: one sentence and exit code 1."""

import socket
from pathlib import Path

import pytest

from callbot.studio.up import command


def refused(capsys: pytest.CaptureFixture[str], data: Path, host: str = "127.0.0.1", port: int = 0) -> str:
    code = command.up(host, port, data, replicas=1, scripted=False, until_stdin_ends=False)
    out, err = capsys.readouterr()
    assert (code, out) == (1, "")
    assert err.startswith("callbot up: ")
    assert err.count("\n") == 1
    return err


@pytest.fixture(autouse=True)
def neutral_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "NATS_URL",
        "MONGO_URL",
        "OPENAI_BASE_URL",
        "OPENAI_API_KEY",
        "OPENAI_MODEL",
        "CALLBOT_AUTH",
    ):
        monkeypatch.delenv(name, raising=False)


def test_a_taken_port(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} on 127.0.0.1 is in use" in refused(capsys, tmp_path, port=port)


def test_a_data_directory_that_is_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(capsys, tmp_path / "file")


def test_a_disk_without_room(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOT_MIN_FREE_MIB", str(10**12))
    assert "MiB free" in refused(capsys, tmp_path)


def test_a_missing_model(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOT_LLM_GGUF", str(tmp_path / "none.gguf"))
    assert "none.gguf does not exist" in refused(capsys, tmp_path)


def test_an_own_language_model_needs_a_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert "OPENAI_MODEL" in refused(capsys, tmp_path)
