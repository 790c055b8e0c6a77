"""Every error of the harness.

.. code-block:: text

    Exception
    ├── HarnessError               the harness cannot do what it was asked; exit status 2
    │   ├── SettingsError          options or environment variables that make no sense
    │   ├── ProfileError           a profile with mistakes: all of them, each with file and key
    │   ├── DraftError             no profile can be drafted: no document, or no place to write it
    │   ├── TargetError            no such target, or it cannot be loaded
    │   │   ├── TargetUnreachable  nothing that speaks HTTP answers at its address
    │   │   └── NotMapped          the target does not have this operation
    │   ├── StackError             a local stack did not start, or died
    │   ├── ProviderError          the payment provider's journal cannot be read
    │   ├── HistoryError           a history file is damaged
    │   ├── FixtureError           a file of data that comes with the harness is damaged
    │   ├── GauntletError          there is no such defect, or nothing to break
    │   ├── ReportError            the report cannot be written where it was asked to be
    │   ├── GrafanaError           a Grafana that cannot be reached, read or written to
    │   ├── StagingError           a staging did not come into its states; how far it came
    │   └── ProductionRefused      something that writes was pointed at production
    └── Unknown                    a test's word that it can neither pass nor fail

`harness.signing.SignatureError` stands apart: that module needs nothing but the standard library.
"""

from __future__ import annotations

from dataclasses import dataclass


class HarnessError(Exception):
    """The harness cannot do what it was asked.

    `hint` is the reader's next step, in one sentence; `code` is stable, for machines.
    """

    code = "harness_error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SettingsError(HarnessError):
    """Options or environment variables make no sense."""

    code = "bad_settings"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a file: where it stands and what was expected there."""

    file: str
    key: str
    expected: str

    def __str__(self) -> str:
        """Give the mistake as one line."""
        return f"{self.file}: {self.key}: {self.expected}"


class ProfileError(HarnessError):
    """A profile has mistakes; `problems` holds all of them."""

    code = "bad_profile"

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(set(problems))
        count = len(self.problems)
        head = f"{count} mistake{'s' if count != 1 else ''} in the profile:"
        super().__init__(
            "\n".join([head, *(f"  {problem}" for problem in self.problems)]),
            hint="Mend these keys, then try each operation: billing-harness doctor --target FILE",
        )


class DraftError(HarnessError):
    """No profile can be drafted: there is no such document, or no place to write it."""

    code = "no_draft"


class TargetError(HarnessError):
    """There is no such target, or it cannot be loaded."""

    code = "bad_target"


class TargetUnreachable(TargetError):
    """Nothing that speaks HTTP answers at the target's address."""

    code = "target_unreachable"


class NotMapped(TargetError):
    """The target does not have this operation."""

    code = "operation_not_mapped"


class StackError(HarnessError):
    """A local stack did not start, or died."""

    code = "stack_failed"


class ProviderError(HarnessError):
    """The payment provider's journal cannot be read."""

    code = "journal_unreadable"


class FixtureError(HarnessError):
    """A file of data that comes with the harness is damaged, or somebody changed it wrongly."""

    code = "bad_fixture"


class HistoryError(HarnessError):
    """A history file is damaged."""

    code = "bad_history"


class GauntletError(HarnessError):
    """There is no such defect, or nothing to break."""

    code = "bad_gauntlet"


class ReportError(HarnessError):
    """The report cannot be written where it was asked to be."""

    code = "report_unwritable"


class GrafanaError(HarnessError):
    """A Grafana cannot be reached, lets nobody in, is too old, or does not do what it is asked."""

    code = "grafana_failed"


class StagingError(HarnessError):
    """A staging could not be put into its states; the message says what was done so far."""

    code = "staging_incomplete"


class ProductionRefused(HarnessError):
    """Something that writes was pointed at production."""

    code = "production_environment"


class Unknown(Exception):
    """A test can neither pass nor fail: it may have happened, or could not be looked at."""
