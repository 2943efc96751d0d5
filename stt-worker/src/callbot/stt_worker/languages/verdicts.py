"""What the words of an utterance say about its end."""

from enum import Enum, auto


class Completeness(Enum):
    DONE = auto()
    UNSURE = auto()
    INCOMPLETE = auto()
    """A sentence that cannot end here: "I'd like a table for"."""
    COUNTING = auto()
    """In the middle of a number, or of something that is spelled."""


class Dictation(Enum):
    NONE = auto()
    GOES_ON = auto()
    WHOLE = auto()
    """As many digits as a phone number has. One may have been misheard."""
    ADDRESS = auto()
    """It ends as an address of the internet does."""
