"""Secrets that the vendors throw back at us, in every spelling and through every fault, are written down nowhere.

The secrets here hold what spellings differ in: quotes, a backslash, a slash, a plus, an umlaut. Searched are the
outputs, the log at DEBUG, Dagster's home, and everything in the data directory, unpacked.
"""

import base64
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from support.loading import forms_of_secrets, hasty_client, traces, world
from support.stand_in import everything_written

from pipelines.demo.company import CUSTOMERS
from pipelines.demo.faults import ASK, DATA, Fault
from pipelines.demo.sip_traffic import SipTraffic

pytestmark = pytest.mark.slow  # whole loads

DAY = date(2026, 10, 21)
SECRETS = {
    "PBXWARE_API_KEY": 'pbx-"key"/Xq7v+T2\\mK9w',
    "SIPCENTRIC_USERNAME": "réseller-demo",
    "SIPCENTRIC_PASSWORD": 'sip-"pass"/5Zr8+hL\\c',
    "TIM4BIZ_USERNAME": "accounts-demo-tim",
    "TIM4BIZ_PASSWORD": 'tim-"pass"/W3n&pQ+6\\d',
    "TIME4VPS_USERNAME": "accounts+vps@example.com",
    "TIME4VPS_PASSWORD": 'vps-"pass"/J9f+yB\\4s',
}
OF_VENDOR = {"pbxware": "PBXWARE_API_KEY", "sipcentric": "SIPCENTRIC_PASSWORD"} | {
    vendor: f"{vendor.upper()}_PASSWORD" for vendor in ("tim4biz", "time4vps")
}
SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "url": lambda secret: quote(secret, safe=""),
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "json": lambda secret: json.dumps(secret)[1:-1],
}


def _header(secret: str) -> str:
    return secret.encode("ascii", "replace").decode()


# How a vendor can throw a secret back, given its spelling.
ECHOES: dict[str, Callable[[str], tuple[str, dict[str, Any]]]] = {
    "refusal": lambda said: ("body", {"body": json.dumps({"error": f"Invalid API key {said}"})}),
    "error list": lambda said: ("body", {"body": json.dumps({"error": ["wronglogin", said]})}),
    "notice": lambda said: ("body", {"body": f"<b>Notice</b>: undefined index {said} in /srv/api.php"}),
    "half a response": lambda said: ("body", {"body": '{"error": "' + said}),
    "401": lambda said: ("status", {"status": 401, "body": said, "WWW_Authenticate": f'Basic realm="{_header(said)}"'}),
    "500": lambda said: ("status", {"status": 500, "body": said}),
    "429": lambda said: ("status", {"status": 429, "body": said, "Retry_After": _header(said)}),
    "redirect away": lambda said: ("redirect", {"url": f"http://127.0.0.2:9/login?key={_header(said)}"}),
    "redirect here": lambda said: ("redirect", {"url": f"/?key={_header(said)}"}),
    "next page": lambda said: ("field", {"nextPage": f"http://127.0.0.2:9/{said}"}),
    "keys": lambda said: ("body", {"body": json.dumps({said: said})}),
    "duplicate key": lambda said: ("body", {"body": "{" + f"{json.dumps(said)}: 1, {json.dumps(said)}: 2" + "}"}),
}
PLAIN = {
    **{kind: {} for kind in (*ASK, *DATA) if kind not in {"field", "without", "add", "cell"}},
    **{"html": {}, "reset": {}, "truncate": {}, "cut_chunk": {}, "unframed": {}, "no_headers": {}},
    **{"drop_column": {"name": "Status"}, "rename_column": {"name": "Status", "new": "State"}},
}


@dataclass(frozen=True)
class Case:
    """One fault at every vendor. ``nth``: from which of each vendor's requests on."""

    name: str
    faults: tuple[Fault, ...]


def _echo(name: str, spelling: str) -> Case:
    faults = []
    for vendor, secret in OF_VENDOR.items():
        kind, params = ECHOES[name](SPELLINGS[spelling](SECRETS[secret]))
        faults.append(Fault(kind, vendor, nth=2 if vendor != "tim4biz" else 1, times=None, params=params))
    return Case(f"{name}, {spelling}", tuple(faults))


def _mixed() -> Case:
    """Every vendor another echo in another spelling."""
    chosen = zip(OF_VENDOR, ("refusal", "401", "notice", "error list"), SPELLINGS, strict=True)
    return Case(
        "mixed",
        tuple(
            Fault(kind, vendor, nth=2 if vendor != "tim4biz" else 1, times=None, params=params)
            for vendor, name, spelling in chosen
            for kind, params in [ECHOES[name](SPELLINGS[spelling](SECRETS[OF_VENDOR[vendor]]))]
        ),
    )


CASES = [_echo(name, spelling) for name in ECHOES for spelling in SPELLINGS] + [
    Case(kind, tuple(Fault(kind, vendor, times=None, params=params) for vendor in OF_VENDOR))
    for kind, params in PLAIN.items()
]


@pytest.mark.parametrize(
    "case",
    [pytest.param(_mixed(), id="mixed"), *(pytest.param(case, id=case.name, marks=pytest.mark.soak) for case in CASES)],
)
def test_nothing_that_is_secret_is_written_down(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor is the text of a message: SMS texts are secrets of those who wrote them."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("pipelines.demo.server.SECRETS", SECRETS)
    monkeypatch.setattr("pipelines.resources.Client", hasty_client)
    with world(tmp_path, DAY, DAY, scale=0.05) as made:
        span = ("--verbose", "load", "--from", str(DAY), "--to", str(DAY))
        for fault in case.faults:
            made.vendors.faults.add(fault)
        told = [made.command(*span), made.command("--verbose", "check")]
        made.vendors.faults.clear()
        told += [made.command(*span), made.command("status")]
        assert told[2].exit_code in (0, 1), told[2].output
        texts = {text.encode() for text in _texts(made.vendors.sip) if text}
    assert len(texts) > 1
    forms = forms_of_secrets(SECRETS) | texts
    written = everything_written(tmp_path)
    assert traces(forms, *(each.output for each in told), caplog.text, written) == []
    # The search would have found them: what every load says stands there.
    assert traces({b"pbxware"}, written)


def _texts(sip: SipTraffic) -> list[str]:
    return [message.text for customer in CUSTOMERS for message in sip.sms(customer)]
