"""Metadata of servers, kept as long as they say (:rfc:`9111#section-5.2`)."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

#: Seconds for which a document is kept that says nothing about that, and at most.
DEFAULT_AGE: Final = 300
MAX_AGE: Final = 3600
#: Documents to keep; the one that was fetched longest ago goes first.
MAX_DOCUMENTS: Final = 100

_AGE = re.compile(r"(?:^|[,\s])max-age=([0-9]{1,9})(?=[,\s]|$)", re.IGNORECASE)
_UNSTORABLE = re.compile(r"(?:^|[,\s])no-(?:store|cache)\b", re.IGNORECASE)


class MetadataCache:
    """Documents by URL, for as long as each allows, but an hour at most.

    Threads may share it.

    :param clock: seconds, from any start.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._documents: OrderedDict[str, tuple[Mapping[str, Any], float]] = (
            OrderedDict()
        )
        self._lock = threading.Lock()

    def get(self, url: str) -> Mapping[str, Any] | None:
        """Return the document at *url* if it is still good."""
        with self._lock:
            document, until = self._documents.get(url, (None, 0.0))
            return document if self._clock() < until else None

    def put(self, url: str, document: Mapping[str, Any], *, cache_control: str) -> None:
        """Keep *document* as long as *cache_control* allows."""
        age = _AGE.search(cache_control)
        seconds = min(int(age[1]), MAX_AGE) if age is not None else DEFAULT_AGE
        with self._lock:
            self._documents.pop(url, None)
            if seconds == 0 or _UNSTORABLE.search(cache_control):
                return
            self._documents[url] = document, self._clock() + seconds
            if len(self._documents) > MAX_DOCUMENTS:
                self._documents.popitem(last=False)
