"""Entry point: which commands there are, where settings come from, and how errors reach a person.

Exit codes: 0 done; 1 refused or failed (a proof that does not verify, a witness that breaks a constraint, a service
that does not answer); 2 wrong usage (unknown flag, unreadable setting); 130 interrupted.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cyclopts import App, Parameter
from cyclopts.config import Env, Toml
from cyclopts.exceptions import CycloptsError

from hybrid_prover import __version__
from prover_core.errors import ProverError

from .text import printable

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

EPILOGUE = (
    "Settings: flags, then HYBRID_PROVER_COMMAND_FLAG in the environment, then the TOML file given by --config (or "
    "HYBRID_PROVER_CONFIG), one [table] a command.\n\nExit codes: 0 done, 1 refused or failed, 2 wrong usage."
)

COMMANDS = (
    ("demo", "demo:demo", "Prove a block of rollup operations with one cloud and two edges on this machine."),
    ("edge", "services:edge", "Run an edge daemon: takes jobs, makes witnesses, streams them to the cloud."),
    ("cloud", "services:cloud", "Run a cloud aggregator: finishes, verifies and stores proofs."),
    ("worker", "services:worker", "Run a prover on a machine of its own: makes leaf proofs for a cloud."),
    ("submit", "jobs:submit", "Submit a circuit instance to an edge and wait for its proof."),
    ("status", "status:status", "Show an edge or a cloud with its newest jobs, or one job."),
    ("cancel", "control:cancel", "Stop a job and all work on it."),
    ("requeue", "control:requeue", "Let a failed or cancelled job go again at its cloud."),
    ("record", "records:record", "Fetch the signed records of a job's proofs: where they come from."),
    ("replay", "records:replay", "Make a proof again from its record and inputs, byte for byte."),
    ("distrusted", "control:distrusted", "List edges whose partials a cloud does not take, or forgive one."),
    ("top", "top:top", "Show edges and clouds live in the terminal."),
    ("prove", "local:prove", "Prove a circom circuit on this machine, without any service."),
    ("verify", "local:verify", "Verify a proof in snarkjs's format."),
    ("setup", "local:setup", "Make an insecure development key for a circuit."),
    ("assemble-jobs", "assembling:assemble_jobs", "Have a cloud turn the proofs of finished jobs into one proof."),
    ("assemble", "assembly:assemble", "Turn many proofs under one verification key into one proof."),
    ("verify-assembly", "assembly:verify_assembly", "Check an assembly against its leaves' public signals."),
    ("certs", "certs:app", "Make, show and renew the certificates of clouds, edges, workers and clients."),
    ("tokens", "tokens:app", "Make, list, rotate and revoke the tokens of clients."),
    ("doctor", "doctor:doctor", "Say what this machine has, which backend is chosen, and why."),
)


def build(config: Path | None = None) -> App:
    """The application; `config` is a TOML file that must exist."""
    app = App(
        name="hybrid-prover",
        help="An edge-and-cloud hybrid prover for circom and Groth16 over BN254.",
        help_epilogue=EPILOGUE,
        version=__version__,
        default_parameter=Parameter(negative_bool=()),
        config=[Env("HYBRID_PROVER_"), *([Toml(config, must_exist=True)] if config else [])],
    )
    for name, target, text in COMMANDS:
        app.command(f"hybrid_prover.cli.{target}", name=name, help=text)
    return app


def take_config(argv: Sequence[str]) -> tuple[Path | None, list[str]]:
    """Splits `--config FILE` off the arguments; the environment's HYBRID_PROVER_CONFIG where there is none."""
    rest, chosen = [], os.environ.get("HYBRID_PROVER_CONFIG")
    arguments = iter(argv)
    for argument in arguments:
        if argument == "--config":
            chosen = next(arguments, None)
            if chosen is None:
                raise CycloptsError(msg="--config needs a file name")
        elif argument.startswith("--config="):
            chosen = argument.removeprefix("--config=")
        else:
            rest.append(argument)
    if chosen and not Path(chosen).is_file():
        raise CycloptsError(msg=f"the configuration file {chosen} does not exist")
    return (Path(chosen) if chosen else None), rest


def complain(message: str) -> None:
    """One line on the standard error stream."""
    print(f"hybrid-prover: {printable(' '.join(message.split()))}", file=sys.stderr)


def run(argv: Sequence[str]) -> int:
    """Parses and runs one command; gives the exit code and never raises for what a user can cause."""
    logging.getLogger("prover_core").addHandler(logging.NullHandler())  # warnings about keys are told by the commands
    try:
        config, rest = take_config(argv)
        app = build(config)
        command, bound, _ = app.parse_args(rest, exit_on_error=False, print_error=False)
    except CycloptsError as e:
        complain(str(e))
        return USAGE
    except ProverError as e:
        complain(f"{e.field}: {e}" if e.field and e.field not in str(e) else str(e))
        return USAGE
    try:
        code = command(*bound.args, **bound.kwargs)
        return code if isinstance(code, int) else OK
    except ProverError as e:
        complain(f"{e.field}: {e}" if e.field and e.field not in str(e) else str(e))
        return FAILED
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as e:
        complain(f"{e.filename}: {e.strerror}" if e.filename else str(e))
        return FAILED


def main() -> None:
    """Console script."""
    sys.exit(run(sys.argv[1:]))
