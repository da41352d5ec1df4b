"""Which masks are in force in this process, beside those that always are.

One set for the whole process, because its log, its problem files and its quarantine are for all who record
in it: what one of them wants hidden is hidden everywhere. So rules add up; only the defaults give way to
the first that says otherwise.
"""

from dataclasses import dataclass
from typing import Final

NATIONAL_IDS: Final = (
    *("us_ssn", "uk_nino", "de_steuer_id", "fr_insee", "es_dni", "it_codice_fiscale", "nl_bsn"),
    *("be_rijksregister", "ch_ahv", "pl_pesel"),
)


@dataclass(frozen=True, slots=True)
class Rules:
    """`national_ids`: names from NATIONAL_IDS. `own_patterns`: expressions that own_patterns.py lets pass.
    `long_numbers`: whether any number of nine digits or more is masked in messages, valid card or not."""

    national_ids: tuple[str, ...] = NATIONAL_IDS
    own_patterns: tuple[str, ...] = ()
    long_numbers: bool = True


_in_force: Rules | None = None
_DEFAULT: Final = Rules()


def rules_in_force() -> Rules:
    return _DEFAULT if _in_force is None else _in_force


def put_in_force(rules: Rules) -> None:
    """From now on, in addition to what others in this process have put in force."""
    global _in_force  # the process's own, as said above
    before = _in_force
    if before is None:
        _in_force = rules
        return
    _in_force = Rules(
        tuple(name for name in NATIONAL_IDS if name in (*before.national_ids, *rules.national_ids)),
        tuple(dict.fromkeys((*before.own_patterns, *rules.own_patterns))),
        before.long_numbers or rules.long_numbers,
    )
