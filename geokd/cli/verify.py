"""`geokd verify`."""

import json
from dataclasses import asdict

import click

from geokd.cli.options import json_option
from geokd.cli.talk import echo
from geokd.model.bundle import DEFAULT_MODEL


@click.command()
@click.argument("model", default=DEFAULT_MODEL)
@json_option
@click.pass_context
def verify(ctx: click.Context, model: str, as_json: bool) -> None:
    """Run MODEL on the test input that its file contains, and compare the results with the expected ones.

    The exit code is 1 if they differ.
    """
    from geokd.model.verify import verify as verify_model

    result = verify_model(model)
    echo(
        f"{result.name} ({result.model}): {'verified' if result.passed else 'FAILED'}; logits of {result.patches}"
        f" patches differ by up to {result.largest_difference:.3g} from the stored ones,"
        f" {result.tolerance:.3g} is allowed; classes are {'the same' if result.same_classes else 'not the same'}",
        err=True,
    )
    if as_json:
        echo(json.dumps({"passed": result.passed, **asdict(result)}, indent=2))
    ctx.exit(0 if result.passed else 1)
