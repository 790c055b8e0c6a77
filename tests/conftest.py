"""What holds for all tests: how Hypothesis searches, and that Ctrl-C means something.

Hypothesis tries the same examples in every `make test`, new and more ones at night.
"""

import os
import signal
import tempfile

from hypothesis import HealthCheck, settings

from harness.stack.folder import scratch_folder

# What a test writes is thrown away: in memory no commit waits for the disk. Some tests write
# programs and run them, which a place for data alone forbids.
_scratch = scratch_folder()
if _scratch and not os.statvfs(_scratch).f_flag & os.ST_NOEXEC:
    os.environ["TMPDIR"] = tempfile.tempdir = _scratch

# Time is the machine's business, not a property: neither a slow draw nor a slow example fails.
settings.register_profile(
    "everyday", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "nightly", parent=settings.get_profile("everyday"), derandomize=False, print_blob=True
)
settings.load_profile("everyday")

# A shell starts its background jobs with SIGINT ignored, which every process started by a test
# would inherit; with a handler set here, they start with the default.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
