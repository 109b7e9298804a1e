"""The command line. Results on standard output, progress and logs on standard error.

Exit status: 0 fine, 1 the answer is no or the work failed, 2 called wrongly.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from detector import __version__
from detector.alerts.text import clean
from detector.cli.check import check
from detector.cli.explain import explain_command
from detector.cli.metric_filter import test_metric_filter
from detector.cli.notify_test import notify_test_command
from detector.cli.outbox import outbox
from detector.cli.quarantine import quarantine
from detector.cli.rule_tests import test
from detector.cli.running import replay_command, run
from detector.cli.shared import report
from detector.cli.state import state
from detector.errors import DetectorError

DEBUG_VARIABLE = "DETECTOR_DEBUG"


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Exit status: 0 fine, 1 the answer is no or the work failed, 2 called wrongly.
`detector COMMAND --help` shows examples.""",
)
@click.version_option(__version__, prog_name="detector")
def detector() -> None:
    """Detect what matters in AWS CloudTrail: rules, counted windows, alerts."""


for _command in (
    run,
    replay_command,
    check,
    test,
    explain_command,
    test_metric_filter,
    state,
    quarantine,
    outbox,
    notify_test_command,
):
    detector.add_command(_command)


def entry_point() -> NoReturn:
    """Run the command line; whatever goes wrong becomes one sentence and an exit status."""
    try:
        detector(standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except DetectorError as error:
        report([error])
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        kind = type(error).__name__
        click.echo(
            f"detector: unexpected {kind}: {clean(str(error))}; this is a bug, please report it"
            f" with what {DEBUG_VARIABLE}=1 shows",
            err=True,
        )
        sys.exit(1)
    sys.exit(0)
