"""TwiML in, verbs out, as strictly as Twilio's schema.

A document that cannot be run raises Rejected (12100, 11750, 12300). What Twilio only warns of (12200: unknown
verbs, attributes, nesting) is passed over and kept in `Document.warnings`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from callbot.studio.emulator.complaints import Code, Complaint, Rejected

MAX_BODY_BYTES = 64 * 1024
PARAMETER_CHARACTERS = 500
"""Name and value of a <Parameter> together must be shorter."""

_ATTRIBUTES: dict[str, set[str]] = {
    "Connect": {"action", "method"},
    "Stream": {"url", "name", "track", "statusCallback", "statusCallbackMethod"},
    "Parameter": {"name", "value"},
    "Say": {"voice", "language", "loop"},
    "Pause": {"length"},
    "Redirect": {"method"},
    "Dial": {
        "action",
        "method",
        "timeout",
        "timeLimit",
        "callerId",
        "answerOnBridge",
        "hangupOnStar",
        "record",
        "ringTone",
        "sequential",
        "referUrl",
        "recordingStatusCallback",
    },
    "Number": {"sendDigits", "url", "method"},
    "Hangup": set(),
    "Reject": {"reason"},
}


@dataclass(frozen=True, slots=True)
class Stream:
    url: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Connect:
    stream: Stream
    action: str | None
    method: str


@dataclass(frozen=True, slots=True)
class Say:
    text: str


@dataclass(frozen=True, slots=True)
class Pause:
    length_s: int


@dataclass(frozen=True, slots=True)
class Redirect:
    url: str
    method: str


@dataclass(frozen=True, slots=True)
class Dial:
    numbers: tuple[str, ...]
    action: str | None
    method: str
    caller_id: str | None
    timeout_s: int


@dataclass(frozen=True, slots=True)
class Hangup:
    pass


@dataclass(frozen=True, slots=True)
class Reject:
    reason: str


Verb = Connect | Say | Pause | Redirect | Dial | Hangup | Reject


@dataclass(frozen=True, slots=True)
class Document:
    """What Twilio would run, in order. No verbs: the call ends."""

    verbs: tuple[Verb, ...]
    warnings: tuple[Complaint, ...] = ()


def parse(body: bytes, content_type: str) -> Document:
    """`content_type` is the header as it came, empty when there was none."""
    if content_type.partition(";")[0].strip().lower() not in ("text/xml", "application/xml"):
        raise Rejected(Code.CONTENT_TYPE, f"content type {content_type!r} is not XML")
    if len(body) > MAX_BODY_BYTES:
        raise Rejected(Code.BODY_TOO_LARGE, "TwiML of more than 64 kB")
    try:
        root = ElementTree.fromstring(body)
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise Rejected(Code.BAD_XML, f"not well-formed XML: {error}") from None
    if root.tag != "Response":
        raise Rejected(Code.BAD_XML, f"the root element is <{root.tag}>, not <Response>")
    reading = _Reading()
    verbs = tuple(verb for element in root if (verb := reading.verb(element)) is not None)
    return Document(verbs, tuple(reading.warnings))


class _Reading:
    """One pass over a document, collecting what the schema does not allow."""

    def __init__(self) -> None:
        self.warnings: list[Complaint] = []

    def verb(self, element: ElementTree.Element) -> Verb | None:
        self._check_attributes(element)
        method = element.get("method", "POST").upper()
        text = (element.text or "").strip()
        match element.tag:
            case "Connect":
                stream = self._stream(element)
                return Connect(stream, element.get("action"), method) if stream else None
            case "Say":
                return Say("".join(element.itertext()).strip())
            case "Pause":
                return Pause(self._number(element, "length", 1))
            case "Redirect":
                return Redirect(text, method)
            case "Dial":
                caller_id, timeout_s = element.get("callerId"), self._number(element, "timeout", 30)
                return Dial(self._numbers(element), element.get("action"), method, caller_id, timeout_s)
            case "Hangup":
                return Hangup()
            case "Reject":
                return Reject(element.get("reason", "rejected"))
        self._warn(f"<{element.tag}> is not a verb that this emulator knows")
        return None

    def _stream(self, connect: ElementTree.Element) -> Stream | None:
        streams = self._children(connect, "Stream")
        if len(streams) != 1:
            self._warn(f"<Connect> holds {len(streams)} <Stream>, not one")
            return None
        stream = streams[0]
        url = stream.get("url", "").strip()
        if not url:
            self._warn("<Stream> has no url")
            return None
        return Stream(url, dict(self._parameters(stream)))

    def _parameters(self, stream: ElementTree.Element) -> list[tuple[str, str]]:
        parameters = []
        for element in self._children(stream, "Parameter"):
            name, value = element.get("name", ""), element.get("value", "")
            if not name:
                self._warn("<Parameter> has no name")
            elif len(name) + len(value) >= PARAMETER_CHARACTERS:
                self._warn(f"<Parameter> {name:.40}: name and value have {len(name) + len(value)} characters")
            else:
                parameters.append((name, value))
        return parameters

    def _numbers(self, dial: ElementTree.Element) -> tuple[str, ...]:
        numbers = [(dial.text or "").strip()]
        numbers += [(element.text or "").strip() for element in self._children(dial, "Number")]
        called = tuple(number for number in numbers if number)
        if not called:
            self._warn("<Dial> names nobody")
        return called

    def _children(self, parent: ElementTree.Element, tag: str) -> list[ElementTree.Element]:
        for element in parent:
            if element.tag == tag:
                self._check_attributes(element)
            else:
                self._warn(f"<{parent.tag}> may not hold <{element.tag}> here")
        return parent.findall(tag)

    def _check_attributes(self, element: ElementTree.Element) -> None:
        unknown = set(element.attrib) - _ATTRIBUTES.get(element.tag, set(element.attrib))
        for name in sorted(unknown):
            self._warn(f"<{element.tag}> has no attribute {name}")
        if element.get("method", "POST").upper() not in ("GET", "POST"):
            self._warn(f"<{element.tag}> method {element.get('method')} is neither GET nor POST")

    def _number(self, element: ElementTree.Element, name: str, default: int) -> int:
        value = element.get(name, str(default))
        if value.isdecimal():
            return int(value)
        self._warn(f"<{element.tag}> {name}={value!r} is not a number")
        return default

    def _warn(self, text: str) -> None:
        self.warnings.append(Complaint(Code.SCHEMA, text))
