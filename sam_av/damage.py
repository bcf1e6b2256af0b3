"""The error of a film or a sound that can be opened, and breaks off on the way."""


class DamagedSource(ValueError):  # noqa: N818 - it tells of the source, which a caller may make do with
    """What was read up to here is good, and nothing comes after it."""
