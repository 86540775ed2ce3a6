import math

import pytest

torch = pytest.importorskip("torch", reason="needs the extra geokd[train]")

from geokd.training.data.batches import Batch  # noqa: E402
from geokd.training.distillation import distillation_loss, kept_answers  # noqa: E402
from geokd.training.losses import cosine_loss, hard_loss, kl_loss, standardise  # noqa: E402
from geokd.training.recipe import LossRecipe  # noqa: E402
from geokd.training.teacher_cache import TeacherOutputs  # noqa: E402


def test_kl_by_hand() -> None:
    # teacher (3/4, 1/4); student softmax(0, 2 ln 2 / 2) = (1/3, 2/3); T = 2
    loss = kl_loss(torch.tensor([[0.0, 2 * math.log(2)]]), torch.tensor([[0.75, 0.25]]), temperature=2.0)
    assert float(loss) == pytest.approx(4 * (0.75 * math.log(9 / 4) + 0.25 * math.log(3 / 8)), rel=1e-6)


def test_kl_is_zero_for_equals_and_mean_over_the_batch() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0]])
    assert float(kl_loss(logits, torch.softmax((logits + 5) / 4, dim=1), 4.0)) == pytest.approx(0, abs=1e-6)
    other = torch.tensor([[0.7, 0.1, 0.2]])
    assert float(kl_loss(logits.repeat(6, 1), other.repeat(6, 1), 3.0)) == pytest.approx(
        float(kl_loss(logits, other, 3.0))
    )


def test_standardised_kl_by_hand() -> None:
    # mean 3, deviations from it -3, 1, 2
    deviation = math.sqrt((9 + 1 + 4) / 3)
    standardised = standardise(torch.tensor([[0.0, 4.0, 5.0], [10.0, 18.0, 20.0]]))  # two times, and 10
    assert standardised[0].tolist() == pytest.approx([-3 / deviation, 1 / deviation, 2 / deviation], abs=1e-6)
    assert standardised[1].tolist() == pytest.approx(standardised[0].tolist(), abs=1e-6)
    outputs = TeacherOutputs(torch.tensor([[[0.0, 4.0, 5.0]]]).expand(8, 1, 3), torch.zeros(8, 1, 4))
    batch = Batch(torch.tensor([0]), torch.tensor([0]), torch.tensor([2]))
    recipe = LossRecipe(ce=0.0, kl=0.0, cosine=0.0, standardised_kl=0.5, temperature=2.0)
    loss = distillation_loss(recipe, kept_answers(outputs, recipe), torch.nn.Identity(), 0.0)
    assert float(loss(torch.tensor([[10.0, 18.0, 20.0]]), torch.zeros(1, 4), batch)) == pytest.approx(0, abs=1e-6)
    # student standardised: sqrt(3/2) (-1, 0, 1)
    teacher = torch.softmax(standardised[0] / 2, dim=0)
    student = torch.softmax(math.sqrt(1.5) * torch.tensor([-1.0, 0.0, 1.0]) / 2, dim=0)
    by_hand = 0.5 * 4 * float((teacher * (teacher / student).log()).sum())
    assert float(loss(torch.tensor([[1.0, 2.0, 3.0]]), torch.zeros(1, 4), batch)) == pytest.approx(by_hand, rel=1e-5)


def test_cosine_by_hand() -> None:
    student, teacher = torch.tensor([[1.0, 0.0], [3.0, 3.0]]), torch.tensor([[0.0, 2.0], [1.0, 1.0]])
    assert float(cosine_loss(student, teacher)) == pytest.approx((1 + 0) / 2)


def test_hard_by_hand() -> None:
    assert float(hard_loss(torch.zeros(3, 4), torch.eye(4)[:3])) == pytest.approx(math.log(4))
    # p = (3/4, 1/4); targets half and half
    mixed = hard_loss(torch.tensor([[math.log(3), 0.0]]), torch.tensor([[0.5, 0.5]]))
    assert float(mixed) == pytest.approx(-0.5 * math.log(0.75) - 0.5 * math.log(0.25))


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
    total = distillation_loss(recipe, kept_answers(outputs, recipe), projection, 0.0)(logits, features, batch)
    seen = torch.stack([outputs.logits[7, 4], outputs.logits[0, 1]])
    deep = torch.stack([outputs.features[7, 4], outputs.features[0, 1]]).float()
    cosine = cosine_loss(projection(features), deep) if cosine_on == "features" else cosine_loss(logits, seen)
    hard = hard_loss(logits, torch.eye(3)[batch.labels])
    expected = 0.5 * hard + 2.0 * kl_loss(logits, torch.softmax(seen / 2.5, dim=1), 2.5) + 3.0 * cosine
    assert float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    alone = distillation_loss(recipe, None, projection, 0.0)(logits, features, batch)
    assert float(alone) == pytest.approx(0.5 * float(hard))


def test_mixed_chips_have_mixed_targets() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs = TeacherOutputs(
        torch.randn(8, 5, 3, generator=generator), torch.randn(8, 5, 4, generator=generator).half()
    )
    logits, features = torch.randn(2, 3, generator=generator), torch.randn(2, 4, generator=generator)
    shares = torch.tensor([[0.75, 0.25], [0.0, 1.0]])  # a quarter of the first is the second's
    batch = Batch(torch.tensor([4, 1]), torch.tensor([7, 0]), torch.tensor([2, 0]), shares)
    recipe = LossRecipe(ce=1.0, kl=1.0, cosine=1.0, temperature=2.0)
    total = distillation_loss(recipe, kept_answers(outputs, recipe), torch.nn.Identity(), 0.0)(logits, features, batch)
    targets = torch.tensor([[0.25, 0.0, 0.75], [1.0, 0.0, 0.0]])
    first, second = outputs.logits[7, 4], outputs.logits[0, 1]
    answers = torch.stack([0.75 * torch.softmax(first / 2, 0) + 0.25 * torch.softmax(second / 2, 0),
                           torch.softmax(second / 2, 0)])  # fmt: skip
    first, second = outputs.features[7, 4].float(), outputs.features[0, 1].float()
    deep = torch.stack([0.75 * first + 0.25 * second, second])
    expected = hard_loss(logits, targets) + kl_loss(logits, answers, 2.0) + cosine_loss(features, deep)
    assert float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_the_teacher_may_answer_by_its_mean_over_views() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs = TeacherOutputs(torch.randn(8, 2, 3, generator=generator), torch.zeros(8, 2, 4).half())
    batch = Batch(torch.tensor([1]), torch.tensor([3]), torch.tensor([0]))
    recipe = LossRecipe(ce=0.0, kl=1.0, cosine=0.0, temperature=1.0, teacher_views="mean")
    logits = torch.randn(1, 3, generator=generator)
    loss = distillation_loss(recipe, kept_answers(outputs, recipe), torch.nn.Identity(), 0.0)(
        logits, torch.zeros(1, 4), batch
    )
    mean = outputs.logits[:, 1].mean(dim=0, keepdim=True)
    assert float(loss) == pytest.approx(float(kl_loss(logits, torch.softmax(mean, dim=1), 1.0)), rel=1e-5)
