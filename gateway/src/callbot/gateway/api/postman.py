"""The document's operations as a Postman collection (format 2.1) that runs from top to bottom."""

import json
from collections.abc import Iterator

from callbot.gateway.api.postman_steps import STEPS, VARIABLE_TEXTS, VARIABLES, Json, Step

FORMAT = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
FORM = "application/x-www-form-urlencoded"
DESCRIPTION = """\
Generated from the OpenAPI document. Set `base`, then run the collection from top to bottom: it signs up,
makes a key and a bot, takes a call, and deletes what it has made. Each request keeps the ids that later
ones need.
"""
PREPARE = [
    "if (!pm.collectionVariables.get('email')) {",
    "  const made = `postman-${Date.now()}-${Math.floor(Math.random() * 1e6)}@example.com`;",
    "  pm.collectionVariables.set('email', made);",
    "}",
    "if (!pm.collectionVariables.get('call_id')) {",
    "  const digit = () => Math.floor(Math.random() * 16).toString(16);",
    "  pm.collectionVariables.set('call_id', 'CA' + Array.from({length: 32}, digit).join(''));",
    "}",
]


def collection(document: Json) -> Json:
    """Raises KeyError where a step names an operation that the document does not have."""
    operations = dict(_operations(document))
    return {
        "info": {"name": document["info"]["title"], "description": DESCRIPTION, "schema": FORMAT},
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}", "type": "string"}]},
        "event": [_event("prerequest", PREPARE)],
        "variable": [_variable(key, value) for key, value in VARIABLES.items()],
        "item": [
            {"name": folder, "item": [_item(step, *operations[step.operation]) for step in steps]}
            for folder, steps in STEPS.items()
        ],
    }


def _operations(document: Json) -> Iterator[tuple[str, tuple[str, str, Json]]]:
    for path, item in document["paths"].items():
        for method in ("get", "post", "patch", "delete"):
            if method in item:
                yield item[method]["operationId"], (method.upper(), path, item[method])


def _variable(key: str, value: str) -> Json:
    text = VARIABLE_TEXTS.get(key)
    return {"key": key, "value": value, **({"description": text} if text else {})}


def _event(when: str, lines: list[str]) -> Json:
    return {"listen": when, "script": {"type": "text/javascript", "exec": lines}}


def _item(step: Step, method: str, path: str, operation: Json) -> Json:
    title = step.title or operation["summary"]
    request: Json = {
        "method": method,
        "header": [{"key": k, "value": v} for k, v in step.headers.items()],
        "url": _url(step, path),
        "description": operation.get("description", operation["summary"]),
    }
    if "X-API-Key" in step.headers or operation.get("security") == []:
        request["auth"] = {"type": "noauth"}
    if body := _body(step, operation):
        request["body"] = body
    events = [_event("test", list(_test(step)))]
    if step.needs:
        events.insert(0, _event("prerequest", _skipped_without(step.needs, title)))
    return {"name": title, "event": events, "request": request}


def _url(step: Step, path: str) -> Json:
    filled = path.replace("{", "{{").replace("}", "}}")
    query = [{"key": k, "value": v} for k, v in step.query.items()]
    raw = (
        "{{base}}/v1" + filled + ("?" + "&".join(f"{q['key']}={q['value']}" for q in query) if query else "")
    )
    return {
        "raw": raw,
        "host": ["{{base}}"],
        "path": ["v1", *filled.strip("/").split("/")],
        **({"query": query} if query else {}),
    }


def _body(step: Step, operation: Json) -> Json | None:
    content = operation.get("requestBody", {}).get("content", {})
    if FORM in content:
        fields = [{"key": k, "value": v, "type": "text"} for k, v in (step.body or {}).items()]
        return {"mode": "urlencoded", "urlencoded": fields}
    if "application/json" not in content:
        return None
    body = content["application/json"]["example"] if step.body is None else step.body
    raw = json.dumps(body, ensure_ascii=False, indent=2)
    return {"mode": "raw", "raw": raw, "options": {"raw": {"language": "json"}}}


def _skipped_without(variable: str, title: str) -> list[str]:
    return [
        f"if (!pm.variables.get('{variable}')) {{",
        f"  console.warn('SKIPPED: {title}: the variable {variable} is empty');",
        "  pm.execution.skipRequest();",
        "}",
    ]


def _test(step: Step) -> Iterator[str]:
    if step.again_after:
        yield "const tries = `tries ${pm.info.requestName}`, tried = pm.variables.get(tries) || 0;"
        yield f"if (pm.response.code === {step.again_after} && tried < 20) {{"
        yield "  pm.variables.set(tries, tried + 1);"
        yield "  return setTimeout(() => pm.execution.setNextRequest(pm.info.requestId), 100);"
        yield "}"
    told = " or ".join(map(str, step.expect))
    yield f"pm.test('answers {told}', () => pm.expect(pm.response.code).to.be.oneOf({list(step.expect)}));"
    if all(status >= 400 for status in step.expect) and not step.says:
        yield "pm.test('says why', () => pm.expect(pm.response.text()).to.match(/code|<Say>|^$/));"
    if step.says:
        yield f"pm.test('says it', () => pm.expect(pm.response.text()).to.include({json.dumps(step.says)}));"
    for variable, name in step.saves.items():
        yield f"pm.collectionVariables.set('{variable}', String(pm.response.json()['{name}']));"
