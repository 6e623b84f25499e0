"""Who a programme is for: its rules as data, held against one household (docs/import.md#rules).

Pure, as the gate is (:mod:`backend.importgate`): nothing here knows any programme.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Self

from backend.importgate import FLAGS, MAX_DECILE, Household


class RuleError(ValueError):
    """A programme's rules cannot be read; the message names the key and what it must hold."""


class ExclusionCode(Enum):
    """Why a programme's rules leave a household out."""

    RECEIVES_OTHER = "receives_other"
    DECILE_TOO_HIGH = "decile_too_high"
    REQUIREMENT_MISSING = "requirement_missing"


@dataclass(frozen=True, slots=True)
class ExclusionReason:
    """One reason, with the column of the household that gave it."""

    code: ExclusionCode
    field: str

    def text(self, language: str = "id") -> str:
        """Why, and what the family can do, in `id` or `en`."""
        texts = _EXCLUSION_TEXTS[self.code]
        return texts[0 if language == "id" else 1].format(field=self.field)


_EXCLUSION_TEXTS: Final = {
    ExclusionCode.RECEIVES_OTHER: (
        "Tidak termasuk: keluarga sudah tercatat pada {field}. Bila keliru, ajukan sanggah.",
        "Excluded: the family is already recorded under {field}. If that is wrong, object.",
    ),
    ExclusionCode.DECILE_TOO_HIGH: (
        "Tidak termasuk: desil keluarga di atas batas program. Bila keliru, ajukan sanggah.",
        "Excluded: the family's decile is above the programme's limit. If wrong, object.",
    ),
    ExclusionCode.REQUIREMENT_MISSING: (
        "Tidak termasuk: syarat {field} tidak tercatat. Bila keliru, ajukan usulan perbaikan.",
        "Excluded: the requirement {field} is not recorded. If wrong, ask for a correction.",
    ),
}


@dataclass(frozen=True, slots=True)
class ProgrammeRules:
    """Who a programme is for, as data; the key `rules` of a programme in programmes.json."""

    max_decile: int = MAX_DECILE
    waive_decile_if: tuple[str, ...] = ()
    """Flags that stand in for the decile (local data: proposed by the village)."""
    exclude_if: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    """Flags that must all say yes."""

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read decoded JSON; an unknown key or flag raises `RuleError`.

        A rule that is not understood must never become a rule that is not applied.
        """
        if not isinstance(data, dict):
            raise RuleError("rules must be an object")
        if unknown := set(data) - {"max_decile", "waive_decile_if", "exclude_if", "require"}:
            raise RuleError(f"unknown rule {min(map(str, unknown))!r}")
        max_decile = data.get("max_decile", MAX_DECILE)
        if type(max_decile) is not int or not 1 <= max_decile <= MAX_DECILE:
            raise RuleError(f"max_decile must be a whole number from 1 to {MAX_DECILE}")
        return cls(
            max_decile,
            _flag_list(data, "waive_decile_if"),
            _flag_list(data, "exclude_if"),
            _flag_list(data, "require"),
        )


def _flag_list(data: dict[str, object], key: str) -> tuple[str, ...]:
    flags = data.get(key, [])
    if not isinstance(flags, list):
        raise RuleError(f"{key} must be a list of flags")
    for flag in flags:
        if flag not in FLAGS:
            raise RuleError(f"{key} names {flag!r}, which is none of: {', '.join(FLAGS)}")
    return tuple(flags)


def eligible(household: Household, rules: ProgrammeRules) -> ExclusionReason | None:
    """None if the rules admit the household, otherwise the first reason that leaves it out."""
    for flag in rules.exclude_if:
        if flag in household.flags:
            return ExclusionReason(ExclusionCode.RECEIVES_OTHER, flag)
    if household.decile > rules.max_decile and household.flags.isdisjoint(rules.waive_decile_if):
        return ExclusionReason(ExclusionCode.DECILE_TOO_HIGH, "desil")
    for flag in rules.require:
        if flag not in household.flags:
            return ExclusionReason(ExclusionCode.REQUIREMENT_MISSING, flag)
    return None
