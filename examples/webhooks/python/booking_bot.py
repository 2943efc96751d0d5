"""A restaurant's booking bot: asks for people, time and name, confirms, says goodbye."""

import re
from typing import Any

from webhook_server import serve

NUMBER = r"(\d+|one|two|three|four|five|six|seven|eight|nine|ten)"
FACTS = {
    "people": rf"(?:\bfor|party of|table of|we are) {NUMBER}\b|^{NUMBER}(?: people)?\W*$",
    "when": r"\b((?:today|tonight|tomorrow|\w+day|at \w+)\b[\w :.]*)",
    "name": r"\bname(?:'s| is)? ([\w ]+)|\b(?:it's|this is|under) ([\w ]+)",
}
QUESTIONS = {
    "people": "For how many people?",
    "when": "When would you like to come?",
    "name": "What name may I write down?",
}
GOODBYE = r"bye\b|\bthat(?:'s| is) (?:all|it)\b|\bno,? thank|\bnothing else\b|^no\W*$"


def answer(request: dict[str, Any]) -> dict[str, str]:
    """Keeps nothing: `history` has everything said so far, as it was heard."""
    if re.search(GOODBYE, request["user_text"], re.IGNORECASE):
        return {"say": "Thank you, we look forward to seeing you. Goodbye!", "action": "hangup"}
    said = [e["content"] for e in request["history"] if e["role"] == "user"] + [request["user_text"]]
    known = {}
    for fact, pattern in FACTS.items():
        found = next(filter(None, (re.search(pattern, s, re.IGNORECASE) for s in reversed(said))), None)
        if found is None:
            return {"say": QUESTIONS[fact], "action": "continue"}
        known[fact] = next(filter(None, found.groups())).strip(" .")
    return {"say": "A table for {people}, {when}, for {name}. Anything else?".format(**known)}


if __name__ == "__main__":
    serve(answer)
