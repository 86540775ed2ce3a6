import math

import pytest

torch = pytest.importorskip("torch", reason="needs the extra geokd[train]")

from geokd.recipe import LossRecipe  # noqa: E402
from geokd.training.loop import Batch  # noqa: E402
from geokd.training.losses import cosine_loss, hard_loss, kl_loss  # noqa: E402
from geokd.training.teacher_cache import TeacherOutputs  # noqa: E402
from geokd.training.train import distillation_loss  # noqa: E402


def test_kl_by_hand() -> None:
    # teacher softmax(2 ln 3 / 2, 0) = (3/4, 1/4); student (1/2, 1/2); T = 2
    loss = kl_loss(torch.zeros(1, 2), torch.tensor([[2 * math.log(3), 0.0]]), temperature=2.0)
    assert float(loss) == pytest.approx(4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5)), rel=1e-6)


def test_kl_is_zero_for_equals_and_mean_over_the_batch() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0]])
    assert float(kl_loss(logits, logits + 5, 4.0)) == pytest.approx(0, abs=1e-6)
    other = torch.tensor([[3.0, 0.0, 1.0]])
    assert float(kl_loss(logits.repeat(6, 1), other.repeat(6, 1), 3.0)) == pytest.approx(
        float(kl_loss(logits, other, 3.0))
    )


def test_cosine_by_hand() -> None:
    student, teacher = torch.tensor([[1.0, 0.0], [3.0, 3.0]]), torch.tensor([[0.0, 2.0], [1.0, 1.0]])
    assert float(cosine_loss(student, teacher)) == pytest.approx((1 + 0) / 2)


def test_hard_by_hand() -> None:
    assert float(hard_loss(torch.zeros(3, 4), torch.tensor([0, 1, 2]))) == pytest.approx(math.log(4))


@pytest.mark.parametrize("cosine_on", ["features", "logits"])
def test_the_whole_loss_is_the_weighted_sum(cosine_on: str) -> None:
    generator = torch.Generator().manual_seed(0)
    outputs = TeacherOutputs(
        torch.randn(8, 5, 3, generator=generator), torch.randn(8, 5, 4, generator=generator).half()
    )
    projection = torch.nn.Linear(6, 4, bias=False)
    logits, features = torch.randn(2, 3, generator=generator), torch.randn(2, 6, generator=generator)
    batch = Batch(torch.tensor([4, 1]), torch.tensor([7, 0]), torch.tensor([2, 0]))
    recipe = LossRecipe(ce=0.5, kl=2.0, cosine=3.0, temperature=2.5, cosine_on=cosine_on)  # type: ignore[arg-type]
    total = distillation_loss(recipe, outputs, projection, 0.0)(logits, features, batch)
    seen = torch.stack([outputs.logits[7, 4], outputs.logits[0, 1]])
    deep = torch.stack([outputs.features[7, 4], outputs.features[0, 1]]).float()
    cosine = cosine_loss(projection(features), deep) if cosine_on == "features" else cosine_loss(logits, seen)
    expected = 0.5 * hard_loss(logits, batch.labels) + 2.0 * kl_loss(logits, seen, 2.5) + 3.0 * cosine
    assert float(total) == pytest.approx(float(expected), rel=1e-6)
    alone = distillation_loss(recipe, None, projection, 0.0)(logits, features, batch)
    assert float(alone) == pytest.approx(0.5 * float(hard_loss(logits, batch.labels)))
