"""Puts the verbs together and turns errors into exit codes.

What a verb does is in its own module.
"""

from __future__ import annotations

import json
import signal
import sys
import traceback

import typer

from agentci_dagster.cli import (
    approve,
    demo,
    doctor,
    down,
    handover,
    mine,
    model,
    replay,
    report,
    rollback,
    run,
    scorecard,
    show,
    simulate,
    status,
    up,
    why,
)
from agentci_dagster.cli.exits import Exit
from agentci_dagster.domain.errors import (
    AgentCIError,
    ConfigurationError,
    InfrastructureError,
    UsageError,
)
from agentci_dagster.domain.plain_text import clean_text

app = typer.Typer(
    name="agentci",
    help="Continuous delivery as data assets: every commit a partition, its fate in the ledger.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Drawn help imports a Markdown reader first, a third of the time that `--help` takes.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("up")(up.up)
app.command("run")(run.run)
app.command("show")(show.show)
app.command("mine")(mine.mine)
app.command("tests")(handover.hand_over)
app.command("status")(status.status)
app.command("why")(why.why)
app.command("approve")(approve.approve)
app.command("reject")(approve.reject)
app.command("rollback")(rollback.rollback)
app.command("down")(down.down)
app.command("report")(report.report)
app.command("replay")(replay.replay)
app.command("scorecard")(scorecard.scorecard)
app.command("simulate")(simulate.simulate)
app.command("doctor")(doctor.doctor)
app.add_typer(model.app, name="model")


def run_app() -> None:
    """Run, and end with the exit code that the error asks for."""
    signal.signal(signal.SIGTERM, _end)
    try:
        app()
    except AgentCIError as error:
        _tell(error)
        sys.exit(_code(error))
    except OSError as error:
        # A full disk, a folder that may not be written: the machine's fault, told without a trace.
        where = f" ({error.filename})" if error.filename else ""
        failed = InfrastructureError(
            f"The machine refused: {error.strerror or error}{where}.",
            "look at permissions and free space there; `agentci doctor` looks at the rest",
        )
        _tell(failed)
        sys.exit(_code(failed))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:  # noqa: BLE001 - the last door: a fault of ours must not end with 1
        sys.stderr.write(clean_text(traceback.format_exc()) + "\n")
        sys.stderr.write("agentci: this is a fault of AgentCI; please report the lines above.\n")
        sys.exit(Exit.INFRASTRUCTURE)


def _tell(error: AgentCIError) -> None:
    if "--json" in sys.argv:
        body = {"error": error.message, "next_step": error.next_step}
        sys.stdout.write(json.dumps(body) + "\n")
        return
    # What failed may be told in the commit's own words.
    sys.stderr.write(f"agentci: {clean_text(str(error))}\n")


def _end(number: int, _frame: object) -> None:
    """Leave through the same doors as by Ctrl-C, so that child processes are ended too."""
    raise SystemExit(128 + number)


def _code(error: AgentCIError) -> Exit:
    if isinstance(error, ConfigurationError):
        return Exit.CONFIGURATION
    return Exit.USAGE if isinstance(error, UsageError) else Exit.INFRASTRUCTURE
