"""What ``raygen COMMAND --help`` says, for every command."""

import inspect
import re
import shlex

import pytest
import typer

from raygen.cli import entry
from raygen.cli.options import EXIT_CODES, SETTINGS

GROUP = typer.main.get_command(entry.app)


def leaves(group, path=()):
    """Every command that does something, by what a user types."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(leaves(GROUP))
EACH = pytest.mark.parametrize("words", COMMANDS, ids=" ".join)


@EACH
def test_each_command_ends_its_help_with_an_example_that_parses_and_the_exit_codes(words):
    command = COMMANDS[words]
    example, exit_codes, *settings = command.epilog.split("\n\n")
    typed = shlex.split(example.removeprefix("Example: raygen "))
    assert tuple(typed[: len(words)]) == words
    command.make_context(words[-1], typed[len(words) :])  # raises where an option is unknown or misses
    assert exit_codes == EXIT_CODES
    takes_settings = "overrides" in inspect.signature(command.callback).parameters
    assert settings == ([SETTINGS] if takes_settings else [])


@EACH
def test_flags_show_no_value_and_every_option_is_a_whole_phrase(words):
    command = COMMANDS[words]
    with command.make_context(words[-1], [], resilient_parsing=True) as context:
        for param in command.get_params(context):
            if getattr(param, "is_flag", False):
                assert param.metavar == ""
            assert not re.match(r"(Of|Whose|Wanted|Default:)\b", param.help), f"{param.name}: {param.help}"
            assert param.help.rstrip("]").endswith((".", "demo"))


def test_what_scores_without_a_model_says_that_it_is_the_demo():
    for words, command in COMMANDS.items():
        (model,) = [param for param in command.params if param.name == "model"] or [None]
        if model is not None and words != ("convert",):
            assert "[default: demo]" in model.help or model.default == "demo", words
