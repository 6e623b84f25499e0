"""``betang-issuer probe`` and ``load-applet``: what they do and say, without printing.

How they are used: docs/cards.md#from-a-blank-card-to-the-desk.
"""

from __future__ import annotations

import json
import stat
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from card_os.host.links import Link
from issuer import cap_messages, profiles
from issuer.cap import MAX_ARCHIVE_BYTES, CapFile
from issuer.cap_load import LoadProgress, LoadStep, Plan
from issuer.errors import CapFormatError, ProfileError
from issuer.probe import Fit, Probe, Untold, best, examine, fit
from issuer.profiles import Profile
from keys.cardsession import ChipKeySource
from keys.errors import StockError
from keys.trust import TrustStore

Text = tuple[str, str]
MAX_KEY_FILE_BYTES = 4 * 1024 * 1024  # a delivery of some 20,000 chips with their own keys


def arguments(probe: ArgumentParser, load: ArgumentParser) -> None:
    """The words of both commands, beside ``--reader`` and ``--wait``."""
    probe.add_argument(
        "--profile", action="append", default=[], metavar="FILE", help="a further profile"
    )
    load.add_argument("--cap", type=Path, required=True, metavar="FILE")
    load.add_argument("--profile", required=True, metavar="NAME|FILE")
    load.add_argument("--transport-keys", type=Path, metavar="FILE", help="the maker's delivery")
    load.add_argument("--replace", action="store_true", help="delete an older purse first")
    load.add_argument("--dry-run", action="store_true", help="print the plan, touch no card")
    for sub in (probe, load):
        sub.add_argument("--json", action="store_true")


@dataclass(frozen=True, slots=True)
class Looked:
    """What a card is and how each profile fits it; ``best`` is the product's that lacks least."""

    card: Probe
    untold: tuple[Untold, ...]
    profiles: tuple[Fit, ...]
    best: Fit | None


def look(link: Link, extra: Sequence[str] = ()) -> tuple[Looked, list[Text]]:
    """What the card is, by the shipped profiles and those of files ``extra``, and the words."""
    known = [*profiles.shipped(), *map(profiles.find, extra)]
    probe = examine(link, [p.channel.isd_aid for p in known])
    found = best(probe, known)
    chosen = next((p for p in known if found is not None and p.name == found.profile), None)
    looked = Looked(probe, probe.untold, tuple(fit(probe, p) for p in known), found)
    return looked, list(report(probe, found, chosen))


def report(probe: Probe, found: Fit | None, profile: Profile | None) -> Iterator[Text]:
    """The lines that say what fits and what it lacks; ``profile`` is the one found."""
    if found is None or profile is None:
        yield cap_messages.NO_PROFILE
    else:
        head = cap_messages.FITS if found.is_whole else cap_messages.FITS_BUT
        yield head[0].format(profile.name), head[1].format(profile.name)
        for missing in found.lacks:
            detail = f" ({missing.detail})" if missing.detail else ""
            words = cap_messages.LACKS[missing.lack]
            yield f"- {words[0]}{detail}", f"- {words[1]}{detail}"
        yield f"{profile.product}. {profile.advice.id}", f"{profile.product}. {profile.advice.en}"
        if not profile.tried_on_hardware:
            yield cap_messages.NOT_TRIED
    if probe.untold:
        silent = [cap_messages.UNTOLD[what] for what in probe.untold]
        keeps = cap_messages.KEEPS
        yield (
            keeps[0].format(", ".join(words[0] for words in silent)),
            keeps[1].format(", ".join(words[1] for words in silent)),
        )


def read_plan(cap: Path, profile: str, trust: TrustStore, *, replace: bool) -> Plan:
    """The plan of a load: the anchors are the desk's own root and environment.

    Raises :class:`CapFormatError`, :class:`ProfileError`, ``OSError``.
    """
    if cap.stat().st_size > MAX_ARCHIVE_BYTES:
        raise CapFormatError(f"{cap.name}: more than {MAX_ARCHIVE_BYTES} bytes")
    parsed = CapFile.parse(cap.read_bytes())
    return Plan(profiles.find(profile), parsed, trust.env, trust.root_key, replace)


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """The plan for a reader: what, onto which, every command."""
    profile: Profile = plan.profile
    return {
        "profile": profile.name, "product": profile.product,
        "tried_on_hardware": profile.tried_on_hardware, "assumed": profile.assumed,
        "package": plan.cap.package, "version": ".".join(map(str, plan.cap.version)),
        "load_file_bytes": len(plan.cap.load_file), "sha256": plan.cap.sha256,
        "instance": plan.instance, "environment": plan.env, "parameters": plan.parameters,
        "replace": plan.replace, "commands": list(plan.commands()),
    }  # fmt: skip


def transport_keys(path: Path | None) -> ChipKeySource:
    """The keys of a maker's delivery, the file that ``betang-keys stock`` takes.

    It must be its owner's alone. :class:`ProfileError`; no error repeats what the file holds.
    """
    from keys.folder import delivery_keys  # noqa: PLC0415 - the other commands have no such keys

    if path is None:
        raise ProfileError("--transport-keys FILE, or --dry-run")
    try:
        info = path.stat()
        if stat.S_IMODE(info.st_mode) & 0o077:
            raise ProfileError(f"{path}: others can read it; chmod 600")
        if info.st_size > MAX_KEY_FILE_BYTES:
            raise ProfileError(f"{path}: too long")
        delivery = json.loads(path.read_text("utf-8"))
        if not isinstance(delivery, dict):
            raise ProfileError(f"{path}: no delivery list")
        return delivery_keys(delivery)
    except OSError as e:
        raise ProfileError(f"{path}: {e.strerror}") from e
    except (ValueError, RecursionError, StockError):
        raise ProfileError(f"{path}: no delivery list") from None


def progress(event: LoadProgress) -> Text:
    """A line for a person."""
    words = cap_messages.STEPS[event.step]
    if event.step is not LoadStep.LOADING:
        return words
    done = f" {event.done}/{event.total}"
    return words[0] + done, words[1] + done
