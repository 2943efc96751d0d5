"""`make check-k8s`: everything in k8s/ that can be checked without a cluster.

Renders the overlays with kustomize into build/k8s, then looks at them with kubernetes-validate, the schemas
of what is not Kubernetes' own, the grammar of PromQL, checkov and hadolint. Each tool also gets something
broken (broken/) and must see it: a check that finds nothing in there would find nothing anywhere. What the
manifests mean to the platform is checked by tests/k8s.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import yaml
from jsonschema import Draft202012Validator, validators

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILT = ROOT / "build" / "k8s"
BIN = Path(sys.executable).parent
RENDERED = {
    "local": "k8s/overlays/local",
    "prod": "k8s/overlays/prod",
    "hpa": "k8s/checks/hpa-and-mongodb-elsewhere",
}
KUBERNETES = "1.35"
DOCKERFILES = [path for path in (ROOT / "k8s" / "Dockerfile",) if path.exists()]
TRIGGERS = {
    "prometheus": (
        {"serverAddress", "query", "threshold"},
        {"activationThreshold", "authModes", "customHeaders", "ignoreNullValues", "namespace"}
        | {"queryParameters", "timeout", "unsafeSsl"},
    ),
    "cpu": ({"value"}, {"containerName"}),
}
"""Metadata of KEDA's triggers, wanted and possible (keda.sh/docs/2.18/scalers): the CRD takes any name."""
GRAFANA = {"$__rate_interval": "5m", "$__range": "1h", "$namespace": "callbot"}
"""What stands for these variables of dashboards is written in before the query is read."""
BROKEN_QUERIES = ("sum(rate(calls[5m])", "rate(calls)", "summ(calls)", 'calls{reason="failed",}[5m] > 1')
Manifest = dict[str, Any]


class Wrong(Exception):
    """What a check has found, a line for each."""


def main() -> None:
    BUILT.mkdir(parents=True, exist_ok=True)
    try:
        render()
    except Wrong as e:
        sys.exit(f"render: {e}")
    wrong = []
    checks = (kubernetes_schema, operators_schema, queries, skaffold_schema, practice, dockerfiles)
    for check in checks:
        try:
            check()
        except Wrong as e:
            wrong.append(f"{check.__name__}:\n{e}")
    if wrong:
        sys.exit("\n".join(wrong))
    checked = [*RENDERED, "skaffold.yaml", *(path.name for path in DOCKERFILES)]
    print(f"{', '.join(checked)}: well; and what is broken was seen")


def render() -> None:
    kubectl = shutil.which("kubectl", path=str(BIN)) or shutil.which("kubectl")
    if kubectl is None:
        raise Wrong("no kubectl: see k8s/checks/kubectl.in")
    for name, folder in RENDERED.items():
        done = run(kubectl, "kustomize", ROOT / folder)
        if done.returncode:
            raise Wrong(done.stderr)
        (BUILT / f"{name}.yaml").write_text(done.stdout)


def rendered() -> Iterator[Path]:
    yield from (BUILT / f"{name}.yaml" for name in RENDERED)


def kubernetes_schema() -> None:
    def complaints(path: Path) -> list[str]:
        done = run(BIN / "kubernetes-validate", "--strict", "-k", KUBERNETES, path)
        lines = (done.stdout + done.stderr).splitlines()
        return [line for line in lines if line.startswith("ERROR")] or lines * bool(done.returncode)

    found = [line for path in rendered() for line in complaints(path)]
    broken = "\n".join(complaints(HERE / "broken" / "kubernetes.yaml"))
    if "replica" not in broken:
        found.append(f"kubernetes-validate does not see what is broken: {broken}")
    raise_any(found)


def operators_schema() -> None:
    """Everything that is not Kubernetes' own has a schema here, or is wrong."""
    found = [
        f"{path.name}: {line}"
        for path in rendered()
        for manifest in manifests(path)
        for line in operator_wrong(manifest)
    ]
    for broken in manifests(HERE / "broken" / "operators.yaml"):
        if not list(operator_wrong(broken)):
            found.append(f"what is broken in {broken['kind']} {broken['metadata']['name']} is not seen")
    raise_any(found)


def operator_wrong(manifest: Manifest) -> Iterator[str]:
    kind, version, spec = manifest["kind"], manifest["apiVersion"], manifest.get("spec", {})
    name = f"{kind} {manifest['metadata']['name']}"
    if "." not in version or version.partition("/")[0].endswith("k8s.io"):
        return
    if version.startswith("keda.sh/") and kind == "ScaledObject":
        yield from (f"{name}: {line}" for line in schema_wrong(keda_schema(), spec))
        for trigger in spec.get("triggers", ()):
            wanted, possible = TRIGGERS.get(trigger["type"], (set(), set()))
            given = set(trigger["metadata"])
            if given - wanted - possible or wanted - given:
                yield f"{name}: the metadata of {trigger['type']}: {', '.join(sorted(given))}"
    elif version.startswith("monitoring.coreos.com/") and kind in ("PodMonitor", "PrometheusRule"):
        schemas = json.loads((HERE / "schemas" / "prometheus-operator.json").read_text())
        schema = {**schemas[kind], "$defs": schemas["$defs"]}
        yield from (f"{name}: {line}" for line in schema_wrong(schema, spec))
    else:
        yield f"{name}: no schema for {version}"


def queries() -> None:
    """All that Prometheus is asked, by alerts, dashboards and scalers, is PromQL of the right types."""
    asked = [query for path in rendered() for one in manifests(path) for query in queries_of(one)]
    found = [f"{name}: {wrong}: {query}" for name, query in asked if (wrong := query_wrong(query))]
    found += ["nobody asks anything"] * (not asked)
    found += [f"not seen to be broken: {query}" for query in BROKEN_QUERIES if not query_wrong(query)]
    raise_any(found)


def queries_of(manifest: Manifest) -> Iterator[tuple[str, str]]:
    name, labels = manifest["metadata"]["name"], manifest["metadata"].get("labels", {})
    if manifest["kind"] == "PrometheusRule":
        for group in manifest["spec"]["groups"]:
            yield from ((rule.get("alert") or rule["record"], str(rule["expr"])) for rule in group["rules"])
    elif manifest["kind"] == "ScaledObject":
        for trigger in manifest["spec"]["triggers"]:
            if "query" in trigger["metadata"]:
                yield name, trigger["metadata"]["query"]
    elif manifest["kind"] == "ConfigMap" and "grafana_dashboard" in labels:
        for text in manifest["data"].values():
            for panel in json.loads(text)["panels"]:
                yield from ((panel["title"], target["expr"]) for target in panel.get("targets", ()))


def query_wrong(query: str) -> str:
    """Empty: it is well."""
    for variable, value in GRAFANA.items():
        query = query.replace(variable, value)
    try:
        promql_parser.parse(query)
    except ValueError as e:
        return str(e)
    return ""


def keda_schema() -> Manifest:
    crd = yaml.safe_load((HERE / "schemas" / "keda-scaledobject-crd.yaml").read_text())
    schema: Manifest = closed(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"])
    return schema


def closed(schema: Any) -> Any:
    """Objects with fields take no others, as the API server refuses or drops them."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    if isinstance(inner.get("properties"), dict) and "additionalProperties" not in inner:
        inner["additionalProperties"] = False
    return inner


def skaffold_schema() -> None:
    schema = json.loads((HERE / "schemas" / "skaffold-v4beta13.schema.json").read_text())
    found = schema_wrong(schema, yaml.safe_load((ROOT / "skaffold.yaml").read_text()))
    if not schema_wrong(schema, yaml.safe_load((HERE / "broken" / "skaffold.yaml").read_text())):
        found.append("skaffold's schema does not see what is broken")
    raise_any(found)


def schema_wrong(schema: Manifest, instance: Any) -> list[str]:
    errors = validators.validator_for(schema, Draft202012Validator)(schema).iter_errors(instance)
    return [f"{'.'.join(map(str, e.absolute_path))}: {e.message[:300]}" for e in errors]


def practice() -> None:
    """checkov. A check is skipped by an annotation that says why."""
    broken = [HERE / "broken" / "kubernetes.yaml", HERE / "broken" / "Dockerfile"]
    files = [part for path in (*rendered(), *DOCKERFILES, *broken) for part in ("--file", str(path))]
    looks = ("--framework", "kubernetes", "dockerfile", "--skip-download")
    done = run(BIN / "checkov", *files, *looks, "--compact", "--quiet", "--output", "json")
    try:
        reports = json.loads(done.stdout)
    except ValueError as e:
        raise Wrong(done.stdout + done.stderr) from e
    results = [report["results"] for report in ([reports] if isinstance(reports, dict) else reports)]
    failed = [check for result in results for check in result["failed_checks"]]
    ours = [one for one in failed if not is_in(one, broken)]
    found = [f"{one['check_id']} {one['check_name']}: {one['file_path']} {one['resource']}" for one in ours]
    for path in broken:
        if not any(is_in(one, [path]) for one in failed):
            found.append(f"checkov does not see what is broken in {path.name}")
    raise_any(found)


def is_in(check: dict[str, Any], files: list[Path]) -> bool:
    return Path(check["file_abs_path"]).resolve() in files


def dockerfiles() -> None:
    def complaints(path: Path) -> str:
        done = run(BIN / "hadolint", path)
        return (done.stdout + done.stderr) * bool(done.returncode)

    found = [line for path in DOCKERFILES if (line := complaints(path))]
    if not complaints(HERE / "broken" / "Dockerfile"):
        found.append("hadolint does not see what is broken")
    raise_any(found)


def manifests(path: Path) -> Iterator[Manifest]:
    yield from (one for one in yaml.safe_load_all(path.read_text()) if one)


def raise_any(found: list[str]) -> None:
    if found:
        raise Wrong("\n".join(f"  {line}" for line in found))


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    main()
