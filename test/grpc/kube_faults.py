"""How the scripted API server is told to misbehave.

A Rule says which requests it is for (method, a regular expression for the path, whether a watch),
how often it strikes, and what it does. The first rule that matches and is not used up wins.
"""

import re
from dataclasses import dataclass, field
from typing import Callable, Optional


@dataclass
class Rule:
    path: str = ""  # regular expression, searched in "path?query"
    method: Optional[str] = None
    watch: Optional[bool] = None  # only watches, or only what is not one
    times: int = 1  # how often; -1: always
    skip: int = 0  # let so many matching requests pass first

    # Before the request is looked at
    hook: Optional[Callable] = None  # called with the exchange, on the server's thread
    delay: float = 0  # seconds before anything happens
    stall: bool = False  # never answer
    cut: bool = False  # drop the connection
    reset: bool = False  # end this one exchange, unfinished (HTTP/1.1: the connection)
    goaway: Optional[bool] = None  # HTTP/2 GOAWAY; True: and serve it, False: as not processed

    # Instead of the true answer
    after: bool = False  # carry the request out first, then answer as told here
    status: int = 0  # answer with this code, and a Status object
    reason: str = ""
    message: str = ""
    headers: list = field(default_factory=list)
    body: Optional[bytes] = None  # this body instead (with status, or 200)
    content_type: str = "application/json"

    # While the true answer is sent
    cut_at: Optional[int] = None  # drop the connection after so many bytes of the body
    stall_at: Optional[int] = None  # stop, connection open, after so many bytes of the body
    drip: float = 0  # seconds between pieces of `piece` bytes
    piece: int = 64

    # In a watch, after `events` objects
    events: int = 0
    error: Optional[dict] = None  # send an ERROR event with this Status, then end
    partial: Optional[int] = None  # send so many bytes of the next event, then drop the connection
    raw: Optional[bytes] = None  # send this, then go on
    finish: bool = False  # end the watch in good order
    drop: bool = False  # drop the connection
    hits: int = 0

    def matches(self, exchange, watching):
        if self.times == 0 or (self.method and self.method != exchange.method):
            return False
        if self.watch is not None and self.watch != watching:
            return False
        if not re.search(self.path, exchange.target):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times > 0:
            self.times -= 1
        self.hits += 1
        return True

    def breaks_watch(self):
        return (
            self.error is not None
            or self.partial is not None
            or self.raw is not None
            or self.finish
            or self.drop
        )


def too_many(seconds=1, **more):
    """429 with Retry-After."""
    return Rule(
        status=429,
        reason="TooManyRequests",
        message="the server has received too many requests and has " "asked us to try again later",
        headers=[("Retry-After", str(seconds))],
        **more
    )


def gone_event():
    """The Status of a watch that asks for a resource version of long ago."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "too old resource version",
        "reason": "Expired",
        "code": 410,
    }
