"""PyAV, the bindings of FFmpeg: an optional dependency."""

from types import ModuleType

from dsrnss.optional import optional


def library() -> ModuleType:
    """Module av.

    Raises:
        ConfigError: If it is not installed.
    """
    av = optional("av", "Videos need PyAV", "'dsrnss[video]'")
    # FFmpeg's own remarks are no messages of ours
    optional("av.logging", "Videos need PyAV", "'dsrnss[video]'").set_level(None)
    return av
