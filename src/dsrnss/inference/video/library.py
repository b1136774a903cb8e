"""PyAV, the bindings of FFmpeg: an optional dependency."""

from types import ModuleType

from dsrnss.errors import ConfigError


def library() -> ModuleType:
    """Module av.

    Raises:
        ConfigError: If it is not installed.
    """
    try:
        import av
        import av.logging
    except ModuleNotFoundError as error:
        raise ConfigError("Videos need PyAV, which is not installed: pip install 'dsrnss[video]'.") from error
    av.logging.set_level(None)  # FFmpeg's own remarks are no messages of ours
    return av
