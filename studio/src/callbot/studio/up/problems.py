"""What keeps the platform from starting."""


class CannotStart(Exception):
    """The platform cannot run here. Its text is one sentence for the person who started it."""
