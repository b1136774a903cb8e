"""Libraries that may not be installed."""

import sys

import pytest

from dsrnss.errors import ConfigError
from dsrnss.optional import optional


def test_what_is_there_is_imported():
    assert optional("json", "Nothing needs it", "nothing").loads("1") == 1


def test_what_is_not_there_is_named_with_the_command_that_gets_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(
        ConfigError, match=r"^Videos need PyAV, which is not installed: pip install 'dsrnss\[video\]'\.$"
    ):
        optional("av", "Videos need PyAV", "'dsrnss[video]'")
