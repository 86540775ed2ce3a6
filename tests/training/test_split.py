from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the extra geokd[train]")

from geokd.errors import CallError, ChipError
from geokd.training.data.split import block_split, listed_split, stratified_split


@given(st.lists(st.integers(2, 30), min_size=1, max_size=6), st.floats(0.05, 0.8), st.integers(0, 9))
def test_stratified(counts: list[int], share: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    training, validation = stratified_split(labels, share, seed)
    assert sorted([*training, *validation]) == list(range(len(labels)))
    for k, count in enumerate(counts):
        held = int((labels[validation] == k).sum())
        assert 1 <= held <= count - 1
        assert abs(held - share * count) <= 1
    again = stratified_split(labels, share, seed)
    assert np.array_equal(again[1], validation)


def test_a_class_of_one_chip_is_for_training() -> None:
    training, validation = stratified_split(np.array([0, 0, 1]), 0.2, 1)
    assert (len(validation), 2 in training) == (1, True)
    with pytest.raises(ChipError, match="one per class; add some"):
        stratified_split(np.array([0, 1]), 0.2, 1)


@given(st.integers(0, 20))
def test_blocks_never_share_ground(seed: int) -> None:
    rows, cols = np.mgrid[0:30, 0:30].reshape(2, -1)  # chips of 640 m every 320 m
    bounds = np.stack([cols * 320, rows * 320, cols * 320 + 640, rows * 320 + 640], axis=1).astype(float)
    labels = ((cols // 5 + rows // 5) % 3).astype(np.int64)
    training, validation = block_split(labels, bounds, 0.25, 1280.0, seed)
    assert 0.15 < len(validation) / len(labels) < 0.35
    assert set(labels[validation]) == set(labels[training]) == {0, 1, 2}
    for box in bounds[validation]:
        apart = (
            (bounds[training, 0] >= box[2])
            | (bounds[training, 2] <= box[0])
            | (bounds[training, 1] >= box[3])
            | (bounds[training, 3] <= box[1])
        )
        assert apart.all()


def test_blocks_too_few() -> None:
    bounds = np.array([[0, 0, 64, 64], [10, 10, 74, 74]], float)
    with pytest.raises(ChipError, match="block_m smaller"):
        block_split(np.array([0, 1]), bounds, 0.5, 1000.0, 0)


def test_a_split_by_a_list(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    path.write_text("file,region\nsea/a.jpg,train\nsea/b.jpg,test\nland/a.jpg,val\nland/c.jpg, train\n")
    files = ["x/land/a.jpg", "x/land/c.jpg", "x/sea/a.jpg", "x/sea/b.jpg"]
    training, validation = listed_split(files, path, ("train",), ("val",))
    assert (training.tolist(), validation.tolist()) == ([1, 2], [0])
    training, validation = listed_split(files, path, ("train", "val"), ("test",))
    assert (training.tolist(), validation.tolist()) == ([0, 1, 2], [3])
    with pytest.raises(ChipError, match=r"no chip of the part north; its parts are test, train, val"):
        listed_split(files, path, ("train",), ("north",))
    with pytest.raises(ChipError, match=r"lacks 1 of 5 chips, sea/z.jpg first"):
        listed_split([*files, "x/sea/z.jpg"], path, ("train",), ("val",))
    with pytest.raises(ChipError, match="no chips for training of land; leave"):
        listed_split([files[0], *files[2:]], path, ("train",), ("val",))
    path.write_text("sea/a.jpg,train\nsea/a.jpg,val\n")
    with pytest.raises(ChipError, match=r"puts 1 chips into two parts, sea/a.jpg first"):
        listed_split(["sea/a.jpg"], path, ("train",), ("val",))
    with pytest.raises(CallError, match="cannot read the split"):
        listed_split(files, tmp_path / "none.csv", ("train",), ("val",))
