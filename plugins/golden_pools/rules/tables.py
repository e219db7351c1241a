"""The rules as pages for people: ``python -m golden_pools.rules.tables docs`` writes them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from golden_pools.rules.passport import passport_schema
from golden_pools.rules.preflight import PERMISSIONS, REPORT
from golden_pools.rules.resize.codes import CODES, OWN_CODES, PROVIDER_CODES, REASONS, Code
from golden_pools.spec.model import Treatment

_TREATMENTS = {
    Treatment.AGAIN: "resize again at once",
    Treatment.LATER: "go through `resize.tactics`",
    Treatment.SMALLER: "go through `resize.tactics`, `smaller_steps` first",
    Treatment.GIVE_UP: "give up",
}


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def preflight_page() -> str:
    """Return ``docs/preflight.md``."""
    checks = _table(
        ("check", "asks", "looks at"),
        (
            (f"`{check.id}`", check.asks, ", ".join(dict.fromkeys((*check.needs, *check.reads))) or "the spec")
            for check in REPORT
        ),
    )
    permissions = _table(
        ("look-up", "needs"), ((lookup.value, permission) for lookup, permission in PERMISSIONS.items())
    )
    return f"""# What preflight checks

Preflight only reads. It reports everything at once: an ERROR stops the run before anything is written, a WARNING and an
INFO stand in the log. Each finding says what was seen, what to do, and the `az` command that shows it. A run on an
existing version skips the checks of the golden VM and of the gallery it would publish to.

{checks}

## When a look-up is refused

The checks that need it are left out and a WARNING names them and the missing permission. Without the golden VM or the
Batch account nothing can be judged: there it is an ERROR.

{permissions}
"""


def _codes(table: Mapping[str, Code]) -> str:
    return _table(
        ("code", "means", "the run will", "advice", "source"),
        ((f"`{row.name}`", row.meaning, _will(row), row.advice, row.source) for row in table.values()),
    )


def _will(row: Code) -> str:
    more = {
        "without a pause the first time": row.is_momentary,
        "or try another VM size": row.other_size_helps and row.treatment is Treatment.GIVE_UP,
        "mark the image version bad": row.blames_image,
    }
    return "; ".join([_TREATMENTS[row.treatment], *(words for words, applies in more.items() if applies)])


def verdicts_page() -> str:
    """Return ``docs/resize-verdicts.md``."""
    return f"""# What a resize error means

Only errors of the run's own resize count: Azure keeps those of the last resize until the next one. Of several errors
the gravest decides, and all are reported.

- A resize that brought nodes is asked again at once. One that brought none is asked again as its row says, at most
  `resize.attempts` times in a row, and as often with each tactic.
- One whose time was over tells how many nodes come at a time: the next ones ask for no more, unless it was less than a
  tenth of the targets.
- `resize.tactics` are tried in the spec's order until each is used up. Where the run gives up, a pool that has
  `resize.smallest_acceptable_share` of both kinds of nodes is a partial success, with the tactic `accept_share`.
- Quota: where the targets can never fit, the run fails before it resizes. Where other pools hold the quota, it asks for
  what fits, waits up to `resize.quota_wait_minutes` for the rest, and also after an error that names the quota.
- A Spot quota stops a run only when its dedicated nodes are there.
- A code that is not listed is treated as `Unknown`.
- `resize.verdicts` of the spec treats a code otherwise: `again`, `later`, `smaller` or `give_up`.

## Codes

{_codes(CODES)}

## `AllocationFailed`: the reason in its details

{_codes(REASONS)}

## `AllocationFailed`: the Compute error in its details

{_codes(PROVIDER_CODES)}

## Without an error of Azure's

{_codes(OWN_CODES)}
"""


def pages() -> Mapping[str, str]:
    """Return every page by its file name."""
    return {
        "passport.schema.json": json.dumps(passport_schema(), indent=2) + "\n",
        "preflight.md": preflight_page(),
        "resize-verdicts.md": verdicts_page(),
    }


if __name__ == "__main__":
    for name, text in pages().items():
        (Path(sys.argv[1]) / name).write_text(text, encoding="utf-8")
