"""What all tests share: an environment without the developer's own configuration."""

import pytest


@pytest.fixture(autouse=True)
def no_configuration_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test sees only the configuration it names itself."""
    monkeypatch.delenv("TOLLBOOK_CONFIG", raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
