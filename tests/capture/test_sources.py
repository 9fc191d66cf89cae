"""The sources that ship."""

import pytest

from edgevision.capture.sources import register, register_one
from edgevision.errors import ConfigError
from edgevision.registry import Registry


def test_all_are_registered_with_settings_that_carry_their_name():
    registry = Registry()
    register(registry)
    assert registry.names("source") == ("file", "folder", "rtsp", "synthetic", "v4l2")
    for name in registry.names("source"):
        settings = registry.settings("source", name)
        assert settings.model_fields["type"].default == name
        assert all(field.description for field in settings.model_fields.values())


def test_an_unknown_one_is_told_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'folder'"):
        register_one(Registry(), "foldr")
