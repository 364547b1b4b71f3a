"""Whose data the lake holds, and how it is read: recorded with it, and held.

What lives here: the record of each connection, which changes of the configuration are refused and which a rebuild takes
on, and the steps that give the data of a connection another name. What does not: what the configuration says
(``pipelines.settings``), reading answers (``assets``), the zone of business days (``Lake.record_timezone``).

    state/connections/<name>.json  vendor, host, user, how its responses are read, and how they were before
    state/login_key.json           32 random bytes, in hexadecimal: the key of the digests of user names and keys
    state/unfinished.json          a rebuild that must come to its end before anything else, and a renaming in it

Of a connection nothing is held before something of it is landed: whoever mistyped an address can correct it.
"""

import hmac
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from tollbook_errors import ConfigError, IntegrityError
from warehouse.accounts import Account, plain_name
from warehouse.close import rename_in_closes
from warehouse.files import disk_errors, read_json, sync_folder, write_json
from warehouse.lake import Lake

FORMAT = 1
REBUILD = "run: tollbook rebuild"


@dataclass(frozen=True)
class Reading:
    """How the responses of a connection are read; ``fields`` as in its configuration."""

    currency: str | None
    timezone: str
    region: str
    outside_line: str
    fields: Mapping[str, str]


@dataclass(frozen=True)
class Reread:
    """What is landed up to ``generation`` was read as ``before`` says until ``at``, when a rebuild read it anew."""

    before: Reading
    generation: str
    at: datetime


@dataclass(frozen=True)
class Identity:
    """One connection: whose account it is (``login`` a keyed digest), and how its responses are read."""

    name: str
    account: Account
    reading: Reading
    rereads: tuple[Reread, ...] = ()

    @classmethod
    def read(cls, name: str, content: Mapping[str, Any]) -> Self:
        """As it was recorded."""
        rereads = (
            Reread(Reading(**each["before"]), each["generation"], datetime.fromisoformat(each["at"]))
            for each in content["rereads"]
        )
        account = {**content["account"], "tenants": tuple(content["account"]["tenants"])}
        return cls(name, Account(**account), Reading(**content["reading"]), tuple(rereads))

    def record(self) -> dict[str, Any]:
        """As it is recorded; the name is the file's."""
        return {
            "format": FORMAT,
            "account": vars(self.account),
            "reading": vars(self.reading),
            "rereads": [
                {"before": vars(each.before), "generation": each.generation, "at": each.at.isoformat()}
                for each in self.rereads
            ],
        }


def login_digest(lake: Lake, login: str, *, records: bool = True) -> str | None:
    """A user name or key as it may be written down: HMAC-SHA256 under the data directory's own key.

    The key is made when there is none; None instead unless ``records``.
    """
    path = lake.data_dir / "state" / "login_key.json"
    with disk_errors(path):
        if not path.exists():
            if not records:
                return None
            write_json(path, {"format": FORMAT, "key": secrets.token_hex(32)})
        key = bytes.fromhex(_sealed(path)["key"])
    return hmac.digest(key, login.encode(), "sha256").hex()


def _sealed(path: Path) -> dict[str, Any]:
    """One of these files; IntegrityError when it is not what was written."""
    try:
        return read_json(path)
    except IntegrityError as error:
        hint = "restore it from a backup; without one delete it, and it is recorded anew by the next load"
        raise IntegrityError(f"state/{path.name} is not what was written", hint=hint) from error


# --- holding ----------------------------------------------------------------------------------------------------------


def hold(
    lake: Lake, timezone: str, identities: Sequence[Identity], *, rebuilds: bool = False, records: bool = True
) -> None:
    """Refuse (ConfigError) a configuration under which what is landed would be read otherwise, or counted twice.

    ``rebuilds``: everything is read again, so it may be read otherwise from now on. ``records``: whether anything may
    be written down.
    """
    if records:
        lake.record_timezone(timezone)
    else:
        lake.check_timezone(timezone)
    if is_unfinished(lake) and not rebuilds:
        raise ConfigError("a rebuild was interrupted that reads data otherwise, or renames it", hint=REBUILD)
    names = {identity.name for identity in identities}
    gone = [name for name in lake.raw.connections() if name not in names]
    found = []
    for identity in identities:
        if lake.raw.has_landed(identity.name):
            found.append(_held(lake, identity, rebuilds=rebuilds))
        else:
            for other in gone:
                _refuse_renamed(lake, identity, other)
            found.append(identity)
    if records:
        with disk_errors(_folder(lake)):
            for identity in found:
                known = known_identity(lake, identity.name)
                if known is not None and len(known.rereads) < len(identity.rereads) and not is_unfinished(lake):
                    begin(lake)
                if known != identity:
                    write_json(_path(lake, identity.name), identity.record())


def _held(lake: Lake, identity: Identity, *, rebuilds: bool) -> Identity:
    """What is to be recorded of a connection of which something is landed; ConfigError where it is another."""
    name = identity.name
    known = known_identity(lake, name)
    vendor = known.account.vendor if known else lake.raw.landed_vendor(name)
    if vendor != identity.account.vendor:
        raise ConfigError(
            f"connections[{name}] is of {identity.account.vendor}, but what was loaded under this name is of {vendor}",
            hint="give it a name of its own: what was loaded stays under the old one",
        )
    if known is None:  # loaded before this was recorded
        return identity
    _refuse_other_account(identity, known)
    identity = replace(identity, account=_with_login(identity.account, known.account), rereads=known.rereads)
    changed = [key for key, value in vars(known.reading).items() if getattr(identity.reading, key) != value]
    if not changed:
        return identity
    if not rebuilds:
        what = "; ".join(
            f"connections[{name}].{key} is {_shown(identity, key)}, but what was loaded was read with "
            f"{_shown(known, key)}"
            for key in changed
        )
        raise ConfigError(
            what, hint="set it back, or run: tollbook rebuild, which reads all of it so and records what that changes"
        )
    reread = Reread(known.reading, lake.raw.next_generation(name), lake.now())
    return replace(identity, rereads=(*known.rereads, reread))


def _with_login(account: Account, known: Account) -> Account:
    """With the login that is known where the secret is not there to read."""
    return account if account.login else replace(account, login=known.login)


def _shown(identity: Identity, key: str) -> str:
    value = getattr(identity.reading, key)
    if isinstance(value, Mapping):
        return ", ".join(f"{ours} = {theirs}" for ours, theirs in value.items()) or "none"
    return value or "none"


def _refuse_other_account(identity: Identity, known: Identity) -> None:
    name, now, before = identity.name, identity.account, known.account
    if now.host != before.host:
        what = f"connections[{name}] is at {now.host}, but what was loaded under this name came from {before.host}"
    elif now.vendor != "pbxware" and now.login and before.login and now.login != before.login:
        what = f"connections[{name}] has another username than what was loaded under this name was read with"
    else:
        return  # a key is renewed now and then
    raise ConfigError(
        what,
        hint="another account needs a name of its own; where it is the same account, "
        f"run: tollbook rename-connection {name} {name}",
    )


def _refuse_renamed(lake: Lake, identity: Identity, other: str) -> None:
    """``other`` is no longer configured, and of ``identity`` nothing is landed yet."""
    known = known_identity(lake, other)
    spelling = plain_name(identity.name) == plain_name(other)
    same_vendor = lake.raw.landed_vendor(other) == identity.account.vendor
    if known.account.is_certainly(identity.account) if known else spelling and same_vendor:
        raise ConfigError(
            f"connections[{identity.name}] is the account that was loaded as {other}: under both names everything "
            "would count twice",
            hint=f"run: tollbook rename-connection {other} {identity.name}",
        )
    if spelling:
        raise ConfigError(
            f"connections[{identity.name}] differs from {other}, under which another account was loaded, in case, - "
            "or _ only",
            hint=f"give it another name, or if it is the same run: tollbook rename-connection {other} {identity.name}",
        )


def known_identity(lake: Lake, name: str) -> Identity | None:
    """What was recorded of a connection; None: nothing was. IntegrityError when it is not what was written."""
    path = _path(lake, name)
    with disk_errors(path):
        if not path.exists():
            return None
        try:
            return Identity.read(name, _sealed(path))
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(f"{path.name} cannot be read", hint="restore it from a backup") from error


def _folder(lake: Lake) -> Path:
    return lake.data_dir / "state" / "connections"


def _path(lake: Lake, name: str) -> Path:
    return _folder(lake) / f"{name}.json"


# --- what must come to its end ----------------------------------------------------------------------------------------


def begin(lake: Lake, renaming: tuple[str, str] | None = None) -> None:
    """A rebuild, with this renaming (old name, new name), must come to its end before anything is loaded."""
    write_json(_unfinished(lake), {"format": FORMAT, "renaming": renaming})


def is_unfinished(lake: Lake) -> bool:
    """Whether a rebuild that had to come to its end has not yet."""
    return _unfinished(lake).exists()


def begun(lake: Lake) -> tuple[str, str] | None:
    """The renaming (old name, new name) that has not come to its end; None: there is none."""
    path = _unfinished(lake)
    with disk_errors(path):
        renaming = _sealed(path)["renaming"] if path.exists() else None
    return None if renaming is None else (renaming[0], renaming[1])


def end(lake: Lake) -> None:
    """The rebuild has come to its end."""
    _unfinished(lake).unlink(missing_ok=True)


def _unfinished(lake: Lake) -> Path:
    return lake.data_dir / "state" / "unfinished.json"


def rename(lake: Lake, old: str, identity: Identity) -> None:
    """Begin to give the data of ``old`` another name (or the same one, for an account that has moved).

    How it is read stays as it was. The caller holds ``lake.writing``; ConfigError when there is nothing to rename.
    """
    new, known = identity.name, known_identity(lake, old)
    if not lake.raw.has_landed(old):
        raise ConfigError(f"nothing was loaded under the name {old}", hint=_known_names(lake))
    if old != new and lake.raw.has_landed(new):
        raise ConfigError(
            f"data was loaded under the name {new}, too",
            hint=f"move raw/{new} out of the data directory, run tollbook rebuild, then this again",
        )
    vendor = lake.raw.landed_vendor(old)
    if vendor != identity.account.vendor:
        raise ConfigError(
            f"what was loaded as {old} is of {vendor}, but connections[{new}] is of {identity.account.vendor}",
            hint="another account needs a name of its own",
        )
    if known is not None:
        account = _with_login(identity.account, known.account)
        identity = replace(identity, account=account, reading=known.reading, rereads=known.rereads)
        write_json(_path(lake, old), identity.record())
    if old != new:
        begin(lake, (old, new))


def _known_names(lake: Lake) -> str:
    return f"known: {', '.join(lake.raw.connections()) or 'none'}"


def finish_renaming(lake: Lake) -> None:
    """Take the steps of a renaming that was begun, each of which can be repeated; what is left is to rebuild.

    The caller holds ``lake.writing``.
    """
    renaming = begun(lake)
    if renaming is None:
        return
    old, new = renaming
    with disk_errors(_unfinished(lake)):
        _rename_raw(lake, old, new)
        if _path(lake, old).exists():
            _path(lake, old).replace(_path(lake, new))
        lake.loads.rename_connection(old, new)
        rename_in_closes(lake.data_dir, old, new)
        budget = lake.data_dir / "state" / "budget"
        if (budget / f"{old}.budget").exists():
            (budget / f"{old}.budget").replace(budget / f"{new}.budget")
        lake.core.clear([old])


def _rename_raw(lake: Lake, old: str, new: str) -> None:
    """All that is landed gets its new name in one stroke."""
    source, target = lake.data_dir / "raw" / old, lake.data_dir / "raw" / new
    if not source.exists():
        return
    if not lake.raw.has_landed(new) and target.exists() and not target.samefile(source):
        shutil.rmtree(target)  # what a load that failed left there: folders without a landing
    source.rename(target)
    sync_folder(target.parent)
