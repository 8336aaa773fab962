"""The flags that commands share, and how a command ends where an error stops it."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

from autoseg import api


@dataclass(frozen=True)
class Command:
    """A verb. add_flags: adds its flags, without importing anything heavy. run: turns flags into an api call and an exit code.
    goes_on: whether the same command goes on with what it had finished when it was stopped."""

    name: str
    summary: str
    add_flags: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    goes_on: bool = False


def add_workspace(parser: argparse.ArgumentParser) -> None:
    """Add the flag that every command takes."""
    parser.add_argument(
        "--workspace", metavar="DIR",
        help="where autoseg keeps what it makes (default: $AUTOSEG_WORKSPACE, else ./autoseg_workspace)",
    )


def add_dataset(parser: argparse.ArgumentParser) -> None:
    """Add the dataset, which every command names in the same way."""
    parser.add_argument(
        "dataset", metavar="DATASET",
        help="path of a dataset folder, or name or number of one in the workspace, $AUTOSEG_RAW or $nnUNet_raw",
    )


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add the flag of commands that work on several cases at once."""
    parser.add_argument("-np", dest="workers", type=one_or_more, metavar="N",
                        help="at most so many processes (default: one per core, fewer where memory is short)")


def add_planner(parser: argparse.ArgumentParser, default: str | None = "default") -> None:
    """Add the flag of commands that plan. default: None for the planner of the recipe's task."""
    parser.add_argument("--planner", default=default,
                        help=f"rules by which is planned, and with them for what: {of_tasks('planner')}; autoseg recipes lists "
                             f"all planners (default: {default or 'that of the recipe'})")


def add_options(parser: argparse.ArgumentParser, flags: Sequence[api.Flag]) -> None:
    """Add the flags that set the options of tasks, in a group for each of those that take them."""
    groups: dict[tuple[str, ...], argparse._ArgumentGroup] = {}
    for flag in flags:
        if flag.whom not in groups:
            groups[flag.whom] = parser.add_argument_group(f"for {' and '.join(flag.whom)}")
        groups[flag.whom].add_argument(flag.name, **flag.arguments)


def of_tasks(word: str) -> str:
    """Return a word of each task, such as its planner, with the name of its models: "PLANNER (plural of its models), ..."."""
    said = {info.plural: getattr(info, word) for info in api.task_infos()}
    words = {plural: its if isinstance(its, str) else " ".join(its) for plural, its in said.items() if its}
    return ", ".join(f"{its} ({plural})" for plural, its in words.items())


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the flag of commands that train. `with_each_set` lets one flag take several settings."""
    parser.add_argument("--set", dest="assignments", action="append", default=[], metavar="KEY=VALUE",
                        help="any other settings of training, such as --set loss=exp_log seed=1; `autoseg recipes` lists them")


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add the flag that says which autoseg this is."""
    try:
        version = metadata.version("autoseg")
    except metadata.PackageNotFoundError:
        version = "(not installed: a plain checkout)"
    parser.add_argument("--version", action="version", version=f"autoseg {version}")


def with_each_set(arguments: Sequence[str]) -> list[str]:
    """Return the words of a command line with a --set before each of several settings that follow one: "--set a=1 b=2"."""
    words: list[str] = []
    is_set = False  # whether the last flag is --set
    for word in arguments:
        if is_set and words[-1] != "--set" and "=" in word and not word.startswith("-"):
            words.append("--set")
        is_set = word == "--set" or (is_set and "=" in word and not word.startswith("-"))
        words.append(word)
    return words


def add_name(parser: argparse.ArgumentParser) -> None:
    """Add the flag of commands that train."""
    parser.add_argument("--name", metavar="NAME",
                        help="of the model, where other settings than the recipe's are tried (default: the recipe's name)")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the flag of commands that run networks."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ..., mps (default: auto)")


def add_gpus(parser: argparse.ArgumentParser, words: str) -> None:
    """Add the flag of commands that can use several GPUs."""
    parser.add_argument("--gpus", type=one_or_more, metavar="N", help=words)


def one_or_more(text: str) -> int:
    """Return the number that a flag gives. Raises argparse's error for one below 1."""
    if not re.fullmatch("[0-9]{1,6}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text[:40]} is no whole number of 1 or more")
    return int(text)


def main_of(command: Command, program: str) -> Callable[[Sequence[str] | None], int]:
    """Return the entry point of a command that has a program of its own."""

    def run(arguments: Sequence[str]) -> int:
        parser = argparse.ArgumentParser(prog=program, description=command.summary, allow_abbrev=False)
        command.add_flags(parser)
        add_version(parser)
        return carry_out(command, parser.parse_args(arguments))

    def main(arguments: Sequence[str] | None = None) -> int:
        return execute(run, arguments)

    return main


def carry_out(command: Command, flags: argparse.Namespace) -> int:
    """Run a command whose flags were read; say after Ctrl-C what becomes of its work."""
    try:
        return api.as_job(lambda: command.run(flags), getattr(flags, "device", None))
    except KeyboardInterrupt:
        again = next((f" without --{flag}" for flag in ("restart", "overwrite") if getattr(flags, flag, False)), "")
        kept = f" What was finished is kept; the same command{again} goes on from there." if command.goes_on else ""
        print(f"Stopped.{kept}", file=sys.stderr)
        return 130


def execute(run: Callable[[Sequence[str]], int], arguments: Sequence[str] | None) -> int:
    """Run a command, the reading of its flags included, whose help takes libraries, too: 0, or 1 after one clear message for
    anything that data, flags or disk can cause; 130 after Ctrl-C; 141, as after SIGPIPE, where nobody reads its output."""
    api.allow_any_encoding()
    try:
        code = _run(run, with_each_set(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        if not _is_unread():
            raise
        return 141


def _is_unread() -> bool:
    """Tell whether nobody reads the standard output any more, as after `| head`; then leave it to nobody."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def _run(run: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
    try:
        for before, word in zip(("", *arguments), arguments, strict=False):
            api.require_not_empty(before if before.startswith("-") else "An argument", word)
            if re.fullmatch("--[a-z-]+=", word):
                api.require_not_empty(word.removesuffix("="), "")
        return run(arguments)
    except BrokenPipeError:
        raise
    except api.AutosegError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except (OSError, RuntimeError, ValueError) as error:
        if (told := api.system_error(error)) is None:
            raise
        print(f"Error: {told}", file=sys.stderr)
        return 1


def command_like(flags: argparse.Namespace, program: str, *arguments: str) -> str:
    """Return a line to type next: `program` with the dataset and the workspace as the user typed them."""
    workspace = ["--workspace", flags.workspace] if flags.workspace else []
    return shlex.join([*program.split(), flags.dataset, *arguments, *workspace])


def tell_written(
    made: str, written: int, failed: Mapping[str, str], already_there: int, output: str, done: str,
    compare_with: tuple[str, str] | None = ("REFERENCE_DIR", "where you have reference labels"),
) -> int:
    """Say what a command wrote into a folder, of the rest why it failed, and what comes next if anything; return the exit code.

    made: such as "3 label file(s)", of so many images that were written. failed: reasons by name. done: "segmented".
    compare_with: what to compare with, and when; None where no command compares.
    """
    there = f" ({already_there} were there already; --overwrite makes them anew)" if already_there else ""
    print(f"Wrote {made if written else 'nothing'} to {output}{there}.")
    for reason in failed.values():
        print(f"Failed: {reason}", file=sys.stderr)
    if failed:
        print(f"Error: {len(failed)} of {len(failed) + written} images could not be {done}: {', '.join(failed)}. The same "
              "command tries them again.", file=sys.stderr)
    elif compare_with is not None:
        reference, when = compare_with
        print(f"Next: autoseg evaluate {reference} {shlex.quote(output)}   ({when})")
    return int(bool(failed))
