from geokd.cli.ablate import _table
from geokd.system.documents import read_record
from geokd.training.ablation.rows import AblationRow


def test_the_table_says_what_was_compared_with_what() -> None:
    first = {
        "loss": "ce",
        "weights": {},
        "fraction": 0.1,
        "epochs": 1,
        "ece": 0.0,
        "unlabelled": True,
        "teacher": None,
        "labelled_chips": 162,
        "steps": 1518,
        "n": 420,
        "accuracies": [0.87, 0.88],
        "accuracy": 0.875,
        "interval_95": [0.8115, 0.9385],
    }
    taught = first | {
        "loss": "ce+kl",
        "teacher": 0.8,
        "accuracies": [0.86, 0.87],
        "accuracy": 0.865,
        "interval_95": None,
        "difference": {"difference": -0.01, "interval_95": [-0.03, 0.01], "p": 0.123},
        "mcnemar": {"won": 3, "lost": 5, "p": 0.7266},
    }
    alike = taught | {"unlabelled": False, "difference": {"difference": 0.01, "interval_95": None, "p": None}}
    head, line, *rows = _table([read_record(row, AblationRow) for row in (first, taught, alike)]).splitlines()
    assert head.count("|") == line.count("|") == rows[0].count("|") == 9
    assert rows.pop() == "teacher of 162 labels: 80.00 % of 420 validation chips"
    assert rows == [
        "| 162 | ce | 1518 | 87.50 % (81.15 to 93.85) | 2 |  |  |  |",
        "| 162 and unlabelled ones | ce+kl | 1518 | 86.50 % | 2 | -1.00 (-3.00 to +1.00) | 0.12 |"
        " won 3, lost 5, p 0.73 |",
        "| 162 | ce+kl | 1518 | 86.50 % | 2 | +1.00 |  | won 3, lost 5, p 0.73 |",
    ]
