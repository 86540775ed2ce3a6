"""The help of geokd's commands for QGIS's dialogs: with titles of tools for commands, and labels for options."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from geokd.qgis.plugin.parameters import Tool
from geokd.qgis.plugin.tools import TOOLS


@dataclass(frozen=True)
class HelpText:
    """Help of a command or of a tool.

    Parameters
    ----------
    text : str
        Paragraphs, an empty line between them.
    options : dict of str to str
        The help of each option of a command, by the option; of each parameter of a tool, by its name.
    """

    text: str
    options: Mapping[str, str]


_COMMAND = re.compile(r"`geokd (?P<name>[\w-]+)(?P<quoted>[^`]*)`|geokd (?P<bare>[\w-]+)(?P<options>(?: --[a-z-]+)*)")
_OPTION = re.compile(r"`?(?P<option>--[a-z-]+)(?P<value> \d+)?`?")


def texts_of_tools(commands: Mapping[str, HelpText]) -> dict[str, HelpText]:
    """Return the help of each tool by its name.

    Parameters
    ----------
    commands : mapping
        Help of each command by its name.
    """
    return {tool.name: _of_tool(tool, commands[tool.command or tool.name]) for tool in TOOLS}


def _of_tool(tool: Tool, command: HelpText) -> HelpText:
    paragraphs = [part for part in (tool.help or command.text).split("\n\n") if not part.startswith("With --json")]
    options = {p.name: _in_words(tool, p.help or command.options[p.option]) for p in tool.parameters if p.option}
    return HelpText("\n\n".join(_in_words(tool, part) for part in paragraphs), options)


def _in_words(tool: Tool, text: str) -> str:
    """Put titles of tools in place of commands, and labels of parameters in place of options."""

    def named(match: re.Match[str]) -> str:
        other = _tool_of(match["name"] or match["bare"])
        if other is None:
            return match[0]
        wanted = _OPTION.findall(match["quoted"] or match["options"] or "")
        labels = [label for option, _ in wanted if (label := _label(other, option))]
        return " with ".join(f"“{name}”" for name in [other.title, *labels])

    def labelled(match: re.Match[str]) -> str:
        labels = [label for one in (tool, *TOOLS) if (label := _label(one, match["option"]))]
        return f"“{labels[0]}”" if labels else match[0]

    return _OPTION.sub(labelled, _COMMAND.sub(named, text)).replace("; may be repeated", "")


def _tool_of(command: str) -> Tool | None:
    return next((tool for tool in TOOLS if tool.name == command), None)


def _label(tool: Tool, option: str) -> str:
    """Return the label of an option without its part in brackets; empty if the tool does not have it."""
    labels = [p.label for p in tool.parameters if p.option == option]
    return labels[0].partition(" (")[0] if labels else ""
