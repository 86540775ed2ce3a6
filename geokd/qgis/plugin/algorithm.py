"""A command of geokd as an algorithm of Processing."""

from __future__ import annotations

import html
import os
from typing import Any

from qgis.core import (
    QgsApplication,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
)
from qgis.PyQt.QtGui import QIcon

from . import results
from .arguments import command, missing
from .child import Finished, News, read_documents, run
from .definitions import Reader, output_definition, parameter_definition
from .environment import cleaned
from .loading import keep_style, load
from .parameters import Tool


class GeokdAlgorithm(QgsProcessingAlgorithm):
    """Runs geokd in a separate process.

    Parameters
    ----------
    tool : Tool
    help_texts : dict
        `text` of the tool, and `options` with that of each parameter, as `geokd qgis-plugin` wrote them.
    """

    def __init__(self, tool: Tool, help_texts: dict[str, Any]) -> None:
        super().__init__()
        self._tool, self._help = tool, help_texts
        self._values: dict[str, object] = {}

    def createInstance(self) -> GeokdAlgorithm:  # noqa: N802
        """Return a new instance."""
        return GeokdAlgorithm(self._tool, self._help)

    def name(self) -> str:
        """Return the name in `geokd:classify`."""
        return self._tool.name

    def displayName(self) -> str:  # noqa: N802
        """Return the name in the toolbox."""
        return self._tool.title

    def group(self) -> str:
        """Return the group in the toolbox."""
        return self._tool.group

    def groupId(self) -> str:  # noqa: N802
        """Return the name of the group."""
        return self._tool.group.lower()

    def tags(self) -> list[str]:
        """Return keywords for searches."""
        return self._tool.tags.split(",")

    def icon(self) -> QIcon:
        """Return the icon of the provider."""
        return self.provider().icon() if self.provider() else QIcon()

    def shortHelpString(self) -> str:  # noqa: N802
        """Return the help of the command, and of its options."""
        options = self._help.get("options", {})
        paragraphs = [html.escape(text) for text in self._help.get("text", "").split("\n\n")]
        rows = [
            f"<li><b>{html.escape(p.label)}</b> [{p.name}]: {html.escape(options[p.name])}</li>"
            for p in self._tool.parameters
            if p.name in options
        ]
        return "".join(f"<p>{text}</p>" for text in paragraphs if text) + (f"<ul>{''.join(rows)}</ul>" if rows else "")

    def shortDescription(self) -> str:  # noqa: N802
        """Return the first sentence of the help."""
        return str(self._help.get("text", "").split("\n\n")[0])

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:  # noqa: N802
        """Declare parameters and outputs."""
        options = self._help.get("options", {})
        for p in self._tool.parameters:
            self.addParameter(parameter_definition(p, options.get(p.name, "")))
        declared = {definition.name() for definition in self.outputDefinitions()}
        for output in self._tool.outputs:
            if output.name not in declared:
                self.addOutput(output_definition(output))

    def canExecute(self) -> tuple[bool, str]:  # noqa: N802
        """Return whether geokd is available, and otherwise the remedy."""
        executable, problem = self.provider().executable()
        return executable is not None, problem

    def checkParameterValues(self, parameters: dict[str, Any], context: QgsProcessingContext) -> tuple[bool, str]:  # noqa: N802
        """Return whether all required parameters are given."""
        fine, problem = super().checkParameterValues(parameters, context)
        problem = problem if not fine else missing(self._tool, {k: v for k, v in parameters.items() if v is not None})
        return (False, problem) if problem else (True, "")

    def prepareAlgorithm(  # noqa: N802
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        """Read the parameters in the main thread, where layers can be used."""
        reader = Reader(self, parameters, context, feedback)
        self._values = {p.name: reader.value(p) for p in self._tool.parameters}
        return True

    def processAlgorithm(  # noqa: N802
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, object]:
        """Run the command, and return its outputs."""
        tool, values = self._tool, self._values
        finished = self._run(command(tool, values), feedback, may_skip=values.get("ON_ERROR") == "skip")
        if finished.stopped:
            if any(p.name == "RESUME" for p in tool.parameters):
                feedback.pushInfo("Finished parts are kept: continue with RESUME (Continue an interrupted run).")
            return {}
        documents = read_documents(finished.stdout) if "--json" in tool.always else []
        if tool.name == "train":
            exported = self._run(["export", "--json", "--", str(values["OUTPUT"])], feedback)
            documents += read_documents(exported.stdout)
        for line in [] if documents else finished.stdout.splitlines():
            feedback.pushInfo(line)
        found = results.outputs(tool, values, documents)
        if tool.name == "info":
            found["DESCRIPTION"] = finished.stdout
        if tool.name in ("info", "plan", "assess") and values.get("OUTPUT"):
            text = results.as_text(documents) if documents else finished.stdout
            with open(str(values["OUTPUT"]), "w", encoding="utf-8") as file:
                file.write(text)
        if values.get("LOAD"):
            load(results.layers(values, documents), context)
        if tool.name in ("sample", "review"):
            keep_style(str(values["OUTPUT"]), context)
        return found

    def _run(self, arguments: list[str], feedback: QgsProcessingFeedback, *, may_skip: bool = False) -> Finished:
        """Run geokd with some arguments.

        Raises
        ------
        QgsProcessingException
            If it fails, with geokd's message.
        """
        executable, problem = self.provider().executable()
        if executable is None:
            raise QgsProcessingException(problem)
        environment = cleaned(os.environ)
        feedback.pushCommandInfo(" ".join([executable.path, *arguments]))
        errors: list[str] = []

        def hear(news: News) -> None:
            if news.percent is not None:
                feedback.setProgress(news.percent)
            if news.message.startswith("Error: "):
                errors.append(news.message[len("Error: ") :])
            elif errors:  # a plain message of several lines
                errors.append(news.message)
            elif news.message.startswith("Warning: "):
                feedback.pushWarning(news.message[len("Warning: ") :])
            elif news.message.strip():
                feedback.pushInfo(news.message)

        own_group = QgsApplication.platform() != "qgis_process"  # there Ctrl-C is the way to cancel
        whole = [executable.path, *arguments]
        finished = run(whole, environment, hear, lambda: not feedback.isCanceled(), own_group=own_group)
        if finished.stopped or not finished.code:
            return finished
        problem = "\n".join(errors) or f"geokd ended with exit code {finished.code}; see its messages above."
        if may_skip and finished.stdout.strip():
            feedback.reportError(problem, False)
            return finished
        raise QgsProcessingException(problem)
