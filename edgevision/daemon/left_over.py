"""At a start: the parts that were accepted and have no verdict, as the service was killed. In: the outbox. Out: NOT_INSPECTED for each.

Keeps nothing. Which parts those are the outbox knows: it forgets one in the very transaction that commits its result.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from edgevision.config import Config
from edgevision.daemon.messages import Composer, speaker
from edgevision.errors import EdgevisionError
from edgevision.publish.outbox import OwedPart
from edgevision.publish.topics import Topics
from edgevision.records import Draft, Inspection

log = logging.getLogger("edgevision")

REASON = "the service ended before this part's turn"


def tell_left_over(
    owed: Sequence[tuple[str, OwedPart]], config: Config, topics: Topics, boot_id: str, commit: Callable[[Sequence[Draft]], None]
) -> int:
    """Commit their verdicts; how many. Also for a camera that is gone. What cannot be kept now is told at the next start."""
    drafts: list[Draft] = []
    for camera, part in owed:
        known = config.cameras.get(camera)
        identity = speaker(config, boot_id, camera if known else None)
        threshold = known.judge.ng if known else 0.0
        lost = Inspection.not_made(camera, REASON, part.ts, threshold, part_id=part.part_id, job_id=part.job_id)
        drafts += Composer(topics, identity).compose(lost)
    if not drafts:
        return 0
    try:
        commit(drafts)
    except EdgevisionError as error:
        log.error("%d parts of the last run are not told of yet: %s", len(drafts), error)
        return 0
    log.warning("%d parts of the last run get no inspection: %s", len(drafts), REASON)
    return len(drafts)
