"""Lists that a vendor need not give: what one said before stays where tonight there is none that can be read.

What lives here: asking for such a list, and what is landed in its place: a page of kind ``refused`` that says why, then
the list's pages as the newest landing has them, with the time at which they were read. So whoever reads the landing
finds the list as ever, and core stays a function of the landings. What does not: which lists need not be given, and
what they mean (the vendor modules).
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from assets.http import strict_json
from assets.http.errors import Forbidden, is_not_offered
from assets.http.page import REFUSED, Page, refused
from tollbook_errors import ContractError, IntegrityError, TransientError

Response = Mapping[str, Any]  # as it was landed

_KNOWN_SINCE = "known_since"  # in the request of a ``refused`` page: its list follows, as it was read then
_CANNOT_BE_READ = (ContractError, TransientError, IntegrityError, Forbidden)


class OptionalLists:
    """``landed`` gives the responses of the newest landing of the same stream; it is called once, if at all."""

    def __init__(self, landed: Callable[[], Iterable[Response]], now: Callable[[], datetime]) -> None:
        self._landed = landed
        self._now = now
        self._pages: dict[tuple[str, str | None, str | None], list[Page]] | None = None

    def ask(
        self, kind: str, account: str | None, read: Callable[[], list[Page]], arguments: Mapping[str, str] | None = None
    ) -> list[Page]:
        """The pages of one list as ``read`` gives them; where it cannot, a ``refused`` page and what was known.

        Of a list that nothing is known of, only the vendor's own word that it does not offer it is a response: any
        other error is raised.
        """
        try:
            return read()
        except _CANNOT_BE_READ as error:
            known = self.known(kind, account, (arguments or {}).get("id"))
            if not known and not is_not_offered(error):
                raise
            request = {"action": kind, **(arguments or {}), "because": error.what}
            if known:
                request[_KNOWN_SINCE] = f"{known[0].fetched_at:%Y-%m-%d %H:%M} UTC"
            return [refused(account, request, self._now()), *known]

    def known(self, kind: str, account: str | None, identifier: str | None) -> list[Page]:
        """The pages of a list as the newest landing has them; none where it has none."""
        if self._pages is None:
            self._pages = {}
            for each in self._landed():
                if each["kind"] != REFUSED:
                    request = json.loads(each["request"])
                    whose = (each["kind"], each["account_id"], request.get("id"))
                    self._pages.setdefault(whose, []).append(
                        Page(
                            each["kind"],
                            each["account_id"],
                            request,
                            each["body"],
                            each["fetched_at"],
                            each["rows"],
                            strict_json.loads(each["body"]),
                        )
                    )
        return self._pages.get((kind, account, identifier), [])


def kept(responses: Iterable[Response]) -> set[tuple[str | None, str]]:
    """Account and kind of the lists that a landing has as they were known before."""
    return {(account, request["action"]) for request, account in _refusals(responses) if _KNOWN_SINCE in request}


def not_given(responses: Iterable[Response]) -> list[str]:
    """The warnings for what the vendor did not give of a landing."""
    same: Counter[tuple[str, str, str]] = Counter()
    accounts: Counter[tuple[str, str, str]] = Counter()
    for request, account in _refusals(responses):
        what = (request["action"], request.get("because", "no reason"), request.get(_KNOWN_SINCE, ""))
        same[what] += 1
        accounts[what] += account is not None
    return [
        f"{_list_of(action, accounts[what])} cannot be read ({because}): what it said on {since} stays"
        if since
        else f"the vendor does not give {_list_of(action, accounts[what])}: {because}"
        for what in sorted(same)
        for action, because, since in [what]
    ]


def _list_of(action: str, accounts: int) -> str:
    return f"{action} of {accounts} account{'s' * (accounts != 1)}" if accounts else action


def _refusals(responses: Iterable[Response]) -> list[tuple[dict[str, str], str | None]]:
    return [(json.loads(each["request"]), each["account_id"]) for each in responses if each["kind"] == REFUSED]
