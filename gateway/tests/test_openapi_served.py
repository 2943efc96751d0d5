"""`/openapi.yaml`, `/openapi.json` and `/docs`: whole, public, and of this host alone."""

import hashlib
import re

import pytest
import yaml

from callbot.gateway.api import openapi
from callbot.gateway.api.documents import ASSETS, SWAGGER
from tests.servers import Server

from .conftest import Site, served


async def fetch(site: Site, path: str, **headers: str) -> tuple[int, str]:
    """Status and text, without credentials."""
    async with site.http.get(path, headers=headers, allow_redirects=False) as answer:
        return answer.status, (await answer.read()).decode(errors="replace")


@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_both_forms_are_served_without_credentials(site: Site, prefix: str) -> None:
    for name, content_type in (("openapi.yaml", "application/yaml"), ("openapi.json", "application/json")):
        async with site.http.get(f"{prefix}/{name}") as answer:
            assert answer.status == 200
            assert answer.content_type == content_type
            assert yaml.safe_load(await answer.text()) == openapi.document()


async def test_open_mode_serves_its_own_document_to_its_own_hosts(api_nats: Server) -> None:
    async with served(api_nats, auth="open") as site:
        async with site.http.get("/openapi.json") as answer:
            assert {} in (await answer.json())["security"]
        for path in ("/openapi.json", "/docs", "/docs/init.js"):
            assert (await fetch(site, path))[0] == 200
            assert (await fetch(site, path, Host="evil.example"))[0] == 421


@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_the_page_has_all_that_it_needs_here(site: Site, prefix: str) -> None:
    status, page = await fetch(site, f"{prefix}/docs")
    assert status == 200
    wanted = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(wanted) == 5
    for place in wanted:
        assert (await fetch(site, f"{prefix}/{place}"))[0] == 200, place
    init = (SWAGGER / "init.js").read_text()
    (document,) = re.findall(r'url: "([^"]+)"', init)
    assert (await fetch(site, f"{prefix}/{document}"))[0] == 200
    assert "validatorUrl: null" in init, "the badge asks another host"


async def test_other_addresses_lead_to_the_page(site: Site) -> None:
    for path, page in (("/", "/docs"), ("/docs/", "/docs"), ("/v1/docs/", "/v1/docs")):
        assert (await fetch(site, path))[0] == 302
        async with site.http.get(path) as answer:
            assert (answer.status, answer.url.path) == (200, page)


async def test_nothing_runs_on_the_page_that_is_not_ours(site: Site) -> None:
    async with site.http.get("/docs") as answer:
        policy = dict(
            p.strip().partition(" ")[::2] for p in answer.headers["Content-Security-Policy"].split(";")
        )
        page = await answer.text()
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in " ".join(policy.values())
    assert re.findall(r"<script(?![^>]*\ssrc=)|\son\w+=|<style|\sstyle=", page) == []


@pytest.mark.parametrize("name", ASSETS)
async def test_assets_have_their_type(site: Site, name: str) -> None:
    async with site.http.get(f"/docs/{name}") as answer:
        assert answer.content_type == ASSETS[name]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert await answer.read() == (SWAGGER / name).read_bytes()


@pytest.mark.parametrize(
    "path",
    ["README.md", "index.html", "..%2Fapp.py", "%2e%2e/app.py", "..%5Capp.py", "swagger-ui.css%00", "/"],
)
async def test_nothing_else_is_served(site: Site, path: str) -> None:
    answer = await site.raw(f"GET /docs/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b"\r\n")[0].split()[1] in (b"404", b"400"), answer[:200]


def test_the_files_of_others_are_unchanged() -> None:
    told = re.findall(r"^    ([0-9a-f]{64})  (\S+)$", (SWAGGER / "README.md").read_text(), re.M)
    assert len(told) == 6
    for digest, name in told:
        assert hashlib.sha256((SWAGGER / name).read_bytes()).hexdigest() == digest, name
