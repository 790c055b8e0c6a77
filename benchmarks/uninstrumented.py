"""The reference service without its instrumentation: ``python -m benchmarks.uninstrumented serve``.

Nothing listens to its sessions and nothing is recorded; all else is the service as it is. It is
what `instrumentation` compares the service with.
"""

from __future__ import annotations

import sys

from harness.metrics import BillingTelemetry
from simulators.billing import events
from simulators.billing.__main__ import main


def _nothing(*_: object, **__: object) -> None:
    return


if __name__ == "__main__":
    events.attach = _nothing
    BillingTelemetry.record = _nothing  # type: ignore[method-assign]  # to be without it is the point
    sys.exit(main())
