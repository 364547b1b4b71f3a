"""What all tests share: an environment without the developer's own configuration, and how properties are searched."""

import os

import pytest
from hypothesis import HealthCheck, settings

# The same examples in every run of `make test`, so that it fails for a change and never by chance. `make soak` searches
# at random, and longer.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("search" if os.environ.get("TOLLBOOK_SOAK") else "same")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="fail where a test was skipped, as CI does")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that looks at what a whole load made is slow, as its fixture ``loaded`` is."""
    for item in items:
        if "loaded" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """What CI must run and cannot is a failure; `-ra` names it with what it lacks."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("no_skips") and reporter and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def no_configuration_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test sees only the configuration it names itself."""
    monkeypatch.delenv("TOLLBOOK_CONFIG", raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
