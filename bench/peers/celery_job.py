"""A job of Celery's that does nothing. It runs in a Python of its own: ``celery -A celery_job worker``, and ``celery_job.py JOBS`` puts jobs and waits for them."""

from __future__ import annotations

import json
import os
import sys
import time

from celery import Celery
from redis import Redis

URL = os.environ["QUEUE_URL"]
app = Celery("celery_job", broker=URL)
# A job is gone from the queue when it is done, not when it is taken: a worker that dies loses none, as with Polyport.
app.conf.update(task_acks_late=True, task_ignore_result=True, broker_connection_retry_on_startup=True)


def nothing(number: int) -> int:
    """Do nothing."""
    return number


job = app.task(nothing, name="nothing")


def main() -> None:
    """Put jobs; print when that began, when all were accepted, when all were done."""
    jobs, redis = int(sys.argv[1]), Redis.from_url(URL)
    job.delay(0)
    _wait(redis)
    began = time.monotonic()
    for number in range(jobs):
        job.delay(number)
    accepted = time.monotonic()
    _wait(redis)
    print(json.dumps({"began": began, "accepted": accepted, "ended": time.monotonic()}))


def _wait(redis: Redis) -> None:
    """Return when no job waits and none is under way."""
    while redis.llen("celery") or redis.hlen("unacked"):
        time.sleep(0.005)


if __name__ == "__main__":
    main()
