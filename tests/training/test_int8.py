import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra geokd[train]")

from geokd.training.fake_quantisation import fake_quantisation, round_activations, round_weights  # noqa: E402
from geokd.training.initial_weights import build_student  # noqa: E402
from geokd.training.recipe import StudentRecipe  # noqa: E402


def test_weights_are_rounded_by_output_channel() -> None:
    weight = torch.tensor([[1.27, -0.014, 0.004], [127.0, 1.4, -0.6]])
    rounded = round_weights(weight)
    assert torch.allclose(rounded, torch.tensor([[1.27, -0.01, 0.0], [127.0, 1.0, -1.0]]), atol=1e-6)


def test_activations_keep_zero_and_have_256_steps() -> None:
    values = torch.linspace(-1.0, 6.0, 5001)
    rounded = round_activations(values)
    assert np.unique(rounded.numpy()).size == 256
    assert (rounded == 0).any()
    step = 7 / 255
    assert (rounded - values)[10:-10].abs().max() <= 0.5 * step + 1e-5  # at the ends zero's own rounding adds to it
    assert torch.equal(round_activations(torch.zeros(4)), torch.zeros(4))


def test_rounding_lasts_as_long_as_the_block_and_lets_gradients_pass() -> None:
    torch.manual_seed(0)
    student, _ = build_student(StudentRecipe(initial_weights="none", dropout=0.0), 3, tuple("abcd"))
    pixels = torch.randint(0, 256, (4, 3, 32, 32)).float()
    student.eval()
    names = list(student.state_dict())
    before = student(pixels)[0]
    with fake_quantisation(student):
        within = student(pixels)[0]
        within.square().sum().backward()
    assert not torch.equal(within, before)
    assert torch.equal(student(pixels)[0], before)
    assert list(student.state_dict()) == names
    gradients = [p.grad for p in student.parameters()]
    assert all(g is not None and torch.isfinite(g).all() and g.abs().sum() > 0 for g in gradients)


def test_every_stored_tensor_is_rounded() -> None:
    student, _ = build_student(StudentRecipe(initial_weights="none"), 3, tuple("abcd"))
    seen: list[int] = []
    with fake_quantisation(student), torch.no_grad():
        for module in student.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.register_forward_pre_hook(lambda _m, inputs: seen.append(np.unique(inputs[0].numpy()).size))
        student.eval()(torch.rand(1, 3, 64, 64) * 255)
    assert len(seen) == 52
    assert max(seen[1:]) <= 256  # all but the network's own input
