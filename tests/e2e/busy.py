"""What is summed of the runs of an account on which much has run for a month."""

from __future__ import annotations

import random

from e2e.served import EMAIL, HUBSPOT, PIPEDRIVE, Served
from polyport.store.sums import ALL, GRAINS, Row


async def fill_sums(house: Served) -> None:
    """Sums of the last hour, day and month for the first account."""
    luck, now = random.Random(4), house.runtime.now_ms() // 1000  # noqa: S311  a picture, not a secret
    sums = house.runtime.repo.run_sums
    account_id = (await house.runtime.repo.accounts.user_by_email(EMAIL)).account_id
    rows: list[Row] = []
    for grain, slots in zip(GRAINS, (60, 96, 120), strict=True):
        for back in range(slots):
            if back in range(30, 34):
                continue
            slot, scale = (now // grain - back) * grain, grain // 30
            good, failed = scale * luck.randint(20, 60), luck.choice((0, 0, 0, 1, 2, 9)) * scale
            found = [
                ("status", "succeeded", good),
                ("error", "partner_error", failed // 2),
                ("error", "partner_timeout", failed - failed // 2),
            ]
            found += [
                ("status", "failed", failed),
                ("status", "uncertain", luck.choice((0, 0, 1))),
                ("waiting", "", luck.choice((0, 3, 40))),
            ]
            found += [("own", str(edge), good // 3) for edge in (3, 4, 5, 12)] + [("own", "48", good // 30), ("queue", "0", good)]
            found += [
                ("partner", str(luck.choice((80, 100, 120, 200))), good),
                ("partner", "480", good // 12),
                ("partner", "2400", good // 60),
            ]
            for partner, share in ((ALL, 1), (PIPEDRIVE, 1)):
                rows += [Row(account_id, grain, what, partner, slot, key, n // share) for what, key, n in found if n // share]
            rows.append(Row(account_id, grain, "status", HUBSPOT, slot, "succeeded", 5))
    await sums.add(rows)
