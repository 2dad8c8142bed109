"""The fused head against float64 autograd over whole logits, and the promises it makes beside being right."""

import math
import weakref

import pytest
import torch
import torch.nn.functional as F
from oracle import TIGHT, Case, worst
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tutelage.models.head import (
    FrozenHead,
    buffers,
    forget,
    frozen,
    linear_losses,
    products,
    token_log_probs,
    workspace,
)


def test_a_value_worked_by_hand() -> None:
    # Logits of the student (0, 0), of the teacher (ln 9, 0), T = 2: p = (3, 1) / 4, q = (1, 1) / 2.
    hidden, weight = torch.ones(1, 1), torch.zeros(2, 1)
    teacher = torch.ones(1, 1), torch.tensor([[math.log(9)], [0.0]])
    ce, kl = linear_losses(hidden, weight, torch.tensor([1]), teachers=[teacher], temperature=2.0)
    assert ce.item() == pytest.approx(math.log(2))
    assert kl.item() == pytest.approx(4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5)))


@pytest.mark.parametrize("temperature", [0.7, 1, 2, 3])
@pytest.mark.parametrize("alpha", [0, 0.5, 1])
def test_losses_and_gradients_are_those_of_autograd(temperature: float, alpha: float) -> None:
    Case().assert_equal(temperature, alpha)


def test_cross_entropy_alone_is_that_of_autograd() -> None:
    Case(widths_of_teachers=()).assert_equal(alpha=1)


def test_two_teachers_are_averaged_as_logits() -> None:
    Case(widths_of_teachers=(4, 9)).assert_equal()


@pytest.mark.parametrize("chunk", [1, 3, 5, 11, 4096, None])
def test_a_chunk_need_not_divide_the_rows(chunk: int | None) -> None:
    Case().assert_equal(chunk=chunk)


def test_a_block_need_not_divide_the_chunk() -> None:
    Case(rows=101, ignored=range(7, 60, 5)).assert_equal(chunk=77)


def test_one_row_is_enough() -> None:
    Case(rows=1).assert_equal()


@pytest.mark.parametrize("rows", [9, 0])
def test_nothing_to_learn_is_zero_and_not_nan(rows: int) -> None:
    results = Case(rows=rows, ignored=range(rows)).ours()
    assert all((result == 0).all() for result in results)


def test_ignored_rows_change_nothing_and_get_no_gradient() -> None:
    case = Case(ignored=(0, 3, 4))
    ce, kl, grad_hidden, grad_weight = case.ours()
    assert (grad_hidden[[0, 3, 4]] == 0).all() and (grad_hidden[[1, 2, 5]] != 0).all()
    with torch.no_grad():
        case.hidden[[0, 3, 4]] = 100.0
    torch.testing.assert_close(case.ours(), [ce, kl, grad_hidden, grad_weight], **TIGHT)


def test_padding_gets_no_probability_and_no_gradient() -> None:
    case = Case(padding=5)
    with torch.no_grad():
        case.weight[case.vocab :] = 1000.0
    case.assert_equal()
    assert (case.ours()[3][case.vocab :] == 0).all()


def test_a_student_that_is_its_teacher_has_no_divergence() -> None:
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        case = Case(dtype=dtype)
        case.teachers = [(case.hidden.detach(), case.weight.detach())]
        _, kl, grad_hidden, _ = case.ours(alpha=0)
        assert kl == 0 and (grad_hidden == 0).all()


def test_logits_far_from_zero_are_no_trouble() -> None:
    case = Case()
    with torch.no_grad():  # one more column moves every logit of a row by -110
        case.hidden = torch.cat([case.hidden, torch.full((11, 1), 10.0)], 1).requires_grad_()
        case.weight = torch.cat([case.weight, torch.full((23, 1), -11.0)], 1).requires_grad_()
        case.teachers = [
            (torch.cat([h, torch.ones(11, 1)], 1), torch.cat([w, torch.full((23, 1), -110.0)], 1))
            for h, w in case.teachers
        ]
    case.assert_equal()


def test_gradients_agree_with_finite_differences() -> None:
    case, step = Case(rows=3, vocab=5, width=2, ignored=(1,)), 1e-6
    _, _, *gradients = case.ours()
    for tensor, gradient in zip((case.hidden, case.weight), gradients):
        for at in range(tensor.numel()):
            sides = []
            for sign in (1, -1):
                with torch.no_grad():
                    tensor.view(-1)[at] += sign * step
                ce, kl, *_ = case.ours()
                sides.append((0.5 * ce + 0.5 * kl).item() / 7)
                with torch.no_grad():
                    tensor.view(-1)[at] -= sign * step
            assert gradient.flatten()[at].item() == pytest.approx((sides[0] - sides[1]) / (2 * step), abs=1e-8)


@pytest.mark.parametrize("dtype, of_loss, of_gradient", [(torch.float32, 1e-6, 5e-6), (torch.bfloat16, 1e-3, 1e-2)])
@pytest.mark.parametrize("temperature", [1, 2, 3])
def test_low_precision_stays_within_its_bounds(
    dtype: torch.dtype, of_loss: float, of_gradient: float, temperature: float
) -> None:
    case = Case(rows=40, vocab=301, width=32, widths_of_teachers=(48,), dtype=dtype, scale=0.5)
    found, right = case.ours(temperature, chunk=16), case.oracle(temperature)
    assert found[2].dtype == found[3].dtype == dtype and found[0].dtype == torch.float32
    assert all(worst(f, r) < of_loss for f, r in zip(found[:2], right[:2]))
    assert all(worst(f, r) < of_gradient for f, r in zip(found[2:], right[2:]))


@pytest.mark.parametrize("native", [False, True])
def test_float16_keeps_small_gradients(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # A CPU computes float16 in float32; native makes the products as a GPU would.
    monkeypatch.setattr(products, "_has_products", lambda dtype: native)
    case = Case(rows=8, vocab=3001, width=16, dtype=torch.float16, scale=0.25)
    found, right = case.ours(chunk=3), case.oracle()
    assert all(worst(f, r) < 1e-4 for f, r in zip(found[:2], right[:2]))
    assert all(worst(f, r) < 2e-3 for f, r in zip(found[2:], right[2:]))


def test_centring_saves_bfloat16_from_an_offset_of_110(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_has_products", lambda dtype: True)
    case = Case(rows=64, vocab=501, width=16, widths_of_teachers=(16,), dtype=torch.float32, scale=0.5, ignored=())
    with torch.no_grad():  # every hidden state has 11 in its first place, and every word about -10 there
        for hidden, weight in [(case.hidden, case.weight), *case.teachers]:
            hidden[:, 0], weight[:, 0] = 11.0, weight[:, 0] * 0.01 - 10.0

    def error() -> tuple[float, float]:
        with torch.autocast("cpu", torch.bfloat16):
            found, right = case.ours(), case.oracle()
        return worst(found[1], right[1]), worst(found[2], right[2])

    centred = error()
    monkeypatch.setattr(products, "prepared", lambda weight, dtype, vocab, kept_as, centred: weight.detach().to(dtype))
    uncentred = error()
    assert centred[0] < 1e-3 and centred[1] < 1e-2
    assert uncentred[0] > 10 * centred[0] and uncentred[1] > 3 * centred[1]


@pytest.mark.parametrize("native", [True, False])
def test_autocast_makes_the_products_in_its_dtype_where_there_are_such_and_returns_gradients_in_the_inputs(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a processor without products in bfloat16, autocast changes nothing: they stay in float32."""
    monkeypatch.setattr(products, "_has_products", lambda dtype: native)
    case = Case(rows=40, vocab=301, width=32, dtype=torch.float32, scale=0.5)
    exact = case.ours()
    with torch.autocast("cpu", torch.bfloat16):
        low = case.ours()
    assert [x.dtype for x in low] == [torch.float32] * 4
    errors = [worst(a, b) for a, b in zip(low, exact)]
    assert max(errors) < 1e-2 and (errors[3] > 0) == native  # not 0: the products did run in bfloat16
    case = Case()
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(case.ours(), case.oracle(), **TIGHT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("teachers", [(), (8,)])
def test_the_workspace_is_what_is_held_at_most(dtype, teachers, monkeypatch) -> None:
    """Rows beyond a chunk need no more; the estimate is not far above."""
    monkeypatch.setattr(products, "_has_products", lambda dtype: True)
    case = Case(rows=1100, vocab=3001, width=32, widths_of_teachers=teachers, dtype=dtype)
    if teachers:
        case.teachers = [(h, FrozenHead(w)) for h, w in case.teachers]
    forget()
    case.ours(chunk=None, alpha=0.5 if teachers else 1.0)
    held = sum(buffer.nbytes for buffer in buffers._kept.buffers.values())
    most = workspace(3001, 32, dtype=dtype, device=torch.device("cpu"), taught=bool(teachers))
    assert held / 1.5 < most and most < 1.5 * held


def test_on_a_gpu_the_workspace_is_that_of_a_chunk_in_the_padded_width() -> None:
    half = workspace(50257, 768, dtype=torch.bfloat16, device=torch.device("cuda"), taught=True)
    assert half == 2 * 8192 * 50304 * 2 + 50304 * 768 * 2


def test_hidden_states_in_bfloat16_leave_a_float32_head_a_float32_gradient() -> None:
    case = Case(rows=40, vocab=301, width=32, dtype=torch.float32, scale=0.5)
    case.hidden = case.hidden.detach().bfloat16().requires_grad_()
    found, right = case.ours(), case.oracle()
    assert found[2].dtype == torch.bfloat16 and found[3].dtype == torch.float32
    assert worst(found[3], right[3]) < 1e-2


def test_a_tied_head_accumulates_over_micro_batches() -> None:
    random = torch.Generator().manual_seed(0)
    table = torch.randn(19, 5, generator=random, dtype=torch.float64, requires_grad=True)
    ids, targets = torch.randint(0, 19, (2, 12), generator=random)
    targets[:5] = -100
    n = int((targets != -100).sum())

    F.cross_entropy(F.embedding(ids, table).tanh() @ table.T, targets).backward()
    right, table.grad = table.grad, None
    for part in (slice(0, 3), slice(3, 4), slice(4, 12)):
        ce, _ = linear_losses(F.embedding(ids[part], table).tanh(), table, targets[part])
        (ce / n).backward()
    torch.testing.assert_close(table.grad, right, **TIGHT)


@pytest.mark.parametrize("frozen", ["hidden", "weight"])
def test_only_the_gradients_that_are_asked_for_are_made(frozen: str) -> None:
    case = Case(widths_of_teachers=())
    _, _, *right = case.oracle(alpha=1)
    getattr(case, frozen).requires_grad_(False)
    with Largest() as seen:
        ce, _ = linear_losses(case.hidden, case.weight, case.targets)
    assert seen.products == 2
    (ce / 7).backward()
    for tensor, expected in zip((case.hidden, case.weight), right):
        assert (tensor.grad is None) == (tensor is getattr(case, frozen))
        if tensor.grad is not None:
            torch.testing.assert_close(tensor.grad, expected, **TIGHT)


def test_the_teacher_is_never_differentiated() -> None:
    case = Case()
    teacher = tuple(x.requires_grad_() for x in case.teachers[0])
    _, kl = linear_losses(case.hidden, case.weight, case.targets, teachers=[teacher], weights=(0, 1))
    kl.backward()
    assert teacher[0].grad is None and teacher[1].grad is None


def test_weights_that_the_loss_does_not_have_are_refused() -> None:
    case = Case()
    given = dict(teachers=case.teachers, weights=(0.5, 0.5))
    ce, kl = linear_losses(case.hidden, case.weight, case.targets, **given)
    with pytest.raises(AssertionError, match="in another proportion"):
        (0.4 * ce + 0.6 * kl).backward()
    ce, kl = linear_losses(case.hidden, case.weight, case.targets, **given)
    with pytest.raises(AssertionError, match="in another proportion"):
        ce.backward()
    ce, kl = linear_losses(case.hidden, case.weight, case.targets, **given)
    (ce + kl).backward(retain_graph=True)
    with pytest.raises(AssertionError, match="already taken"):
        (ce + kl).backward()


def test_arguments_that_do_not_go_together_are_refused() -> None:
    case = Case(widths_of_teachers=())
    with pytest.raises(AssertionError, match="0 teachers"):
        linear_losses(case.hidden, case.weight, case.targets, weights=(0.5, 0.5))
    with pytest.raises(AssertionError, match=r"\(10,\) targets for \(11, 6\)"):
        linear_losses(case.hidden, case.weight, case.targets[:10])
    with pytest.raises(AssertionError, match="vocabulary of 24"):
        linear_losses(case.hidden, case.weight, case.targets, vocab=24)
    with pytest.raises((RuntimeError, IndexError), match="out of bounds"):
        linear_losses(case.hidden, case.weight, torch.full((11,), 23))


def test_log_probabilities_are_those_of_the_whole_softmax() -> None:
    case = Case(padding=3)
    found = token_log_probs(case.hidden, case.weight, case.targets, vocab=case.vocab, chunk=4)
    right = -F.cross_entropy(case.hidden @ case.weight[: case.vocab].T, case.targets, reduction="none")
    torch.testing.assert_close(found, right.detach(), **TIGHT)
    assert found[2] == 0


def test_log_probabilities_in_float32_are_within_1e_5_of_log_softmax() -> None:
    case = Case(rows=70, vocab=5003, width=64, dtype=torch.float32, widths_of_teachers=(), ignored=())
    with torch.inference_mode():
        found = token_log_probs(case.hidden, case.weight, case.targets)
        logits = case.hidden @ case.weight.T
        right = logits.log_softmax(-1).gather(1, case.targets.unsqueeze(1)).squeeze(1)
    assert right.min() < -20 and (found - right).abs().max() < 1e-5


class Alive(TorchDispatchMode):
    """Follows the bytes of all tensors that operations give, and remembers the most that lived at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.most, self.known = 0, 0, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        given = {id(x.untyped_storage()) for x in (*args, *(kwargs or {}).values()) if isinstance(x, Tensor)}
        for x in out if isinstance(out, tuple | list) else [out]:
            if isinstance(x, Tensor) and not {id(x.untyped_storage())} & (self.known | given):
                self._born(x.untyped_storage())
        return out

    def _born(self, storage: torch.UntypedStorage) -> None:
        self.known.add(id(storage))
        self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._died, id(storage), storage.nbytes())

    def _died(self, name: int, size: int) -> None:
        self.known.discard(name)
        self.now -= size


@pytest.mark.parametrize("draws", [0, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extra_memory_is_the_same_for_512_rows_and_for_8192(dtype: torch.dtype, draws: int) -> None:
    extra, width, vocab = [], 4, 700
    for rows in (512, 8192):
        forget()
        case = Case(
            rows=rows, vocab=vocab, width=width, widths_of_teachers=() if draws else (4,), dtype=dtype, draws=draws
        )
        with Alive() as seen:
            case.ours(chunk=None)
        a_row = 8 * 4 + 2 * width * 4  # losses, labels and the gradient of the hidden states: what anybody needs
        extra.append(seen.most - rows * a_row)
        assert seen.most > 512 * vocab * dtype.itemsize  # it does see a chunk's logits
    assert extra[1] <= extra[0]


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation gives, and counts the products."""

    def __init__(self) -> None:
        super().__init__()
        self.numel, self.products = 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.products += func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.addmm_)
        if isinstance(out, Tensor):
            self.numel = max(self.numel, out.numel())
        return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_memory_does_not_grow_with_the_rows(dtype: torch.dtype) -> None:
    largest = []
    for rows in (256, 1024):
        forget()
        case = Case(rows=rows, vocab=2000, width=4, dtype=dtype)
        with Largest() as seen:
            case.ours(chunk=64)
        largest.append(seen.numel)
    assert largest[0] == largest[1] == 64 * 2000


def test_evaluation_makes_no_gradients() -> None:
    case = Case(rows=16)
    for context in (torch.no_grad(), torch.inference_mode()):
        with context, Largest() as seen:
            ce, _ = linear_losses(case.hidden, case.weight, case.targets, teachers=case.teachers, chunk=8)
        assert seen.products == 4 and not ce.requires_grad  # student and teacher, two chunks
    forget()
    with torch.inference_mode():
        linear_losses(case.hidden, case.weight, case.targets)
    case.assert_equal()  # the buffers that evaluation made serve training


@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf"
)  # torch's own, at a graph break
def test_a_compiled_body_and_an_uncompiled_head_go_together() -> None:
    torch.manual_seed(0)
    body, head = nn.Linear(6, 6).double(), nn.Parameter(torch.randn(23, 6, dtype=torch.float64))
    case = Case(rows=8)

    def loss(forward) -> Tensor:
        ce, _ = linear_losses(forward(case.hidden.detach()).tanh(), head, case.targets, chunk=3)
        return ce / 5

    grads = [
        torch.autograd.grad(f(b), [head, body.weight])
        for f, b in [
            (loss, body),
            (loss, torch.compile(body, backend="aot_eager", fullgraph=True)),
            (torch.compile(loss, backend="aot_eager"), body),
        ]
    ]
    for found in grads[1:]:
        torch.testing.assert_close(found, grads[0], **TIGHT)


@pytest.mark.parametrize("draws", [0, 4])
def test_what_a_gpu_would_be_asked_fits_together(draws: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors without memory go the way of every device but the CPU: padded logits, sums in float32."""
    monkeypatch.setattr(products, "_adds_in_float32", lambda device: True)
    case = Case(rows=9, vocab=301, width=16, widths_of_teachers=() if draws else (8, 4), draws=draws, padding=3)
    case.move("meta")
    half, full, weights = torch.bfloat16, torch.float32, (0.5, 0.5)
    plan = products.Products(vocab=301, temperature=2.0, weights=weights, chunk=4, dtype=half, sums=full)
    grad_hidden, grad_weight = torch.empty(9, 16, dtype=half, device="meta"), torch.empty(304, 16, device="meta")
    with Largest() as seen, torch.no_grad():
        into = products.Gradients(hidden_NH=grad_hidden, weight_VH=grad_weight)
        losses = plan.losses(case.hidden, case.weight, case.targets, case.teachers, case.drawn, gradients=into)
    assert [(x.dtype, x.shape) for x in losses] == [(full, (9,))] * 2
    assert seen.products == 3 * (3 if draws else 5)  # a chunk: student, teachers, two gradients


def test_a_chunk_on_a_gpu_is_a_power_of_two_that_depends_on_sizes_alone() -> None:
    cuda = torch.device("cuda")
    assert products._chunk(50257, torch.bfloat16, cuda) == 8192  # 2 x 8192 x 50257 x 2 bytes are 1.6 GB
    assert products._chunk(50257, torch.float32, cuda) == 4096
    assert products._chunk(256_000, torch.float32, cuda) == 2048  # fewer would read the head's gradient too often


class Shapes(TorchDispatchMode):
    """Both sizes and the inner one of every product of matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket is torch.ops.aten.addmm:
            self.seen |= {*args[1].shape, *args[2].shape}
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("dtype, bound", [(torch.float64, 1e-12), (torch.float32, 2e-5), (torch.bfloat16, 3e-2)])
@pytest.mark.parametrize("draws", [0, 5])
@pytest.mark.parametrize("padding", [0, 41, 50])
def test_the_width_that_gpus_get_changes_no_number(dtype, bound, draws, padding, monkeypatch) -> None:
    """23 words in 64 columns, as 50,257 lie in 50,304; what lies beyond the words is poison at first."""

    def scratch(name: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        return torch.full(shape, torch.nan, dtype=dtype)

    for module in (products, frozen):
        monkeypatch.setattr(module, "padded_width", lambda vocab, device: 64)
        monkeypatch.setattr(module, "scratch", scratch)
    monkeypatch.setattr(products, "_has_products", lambda dtype: True)
    case = Case(dtype=dtype, padding=padding, draws=draws, widths_of_teachers=() if draws else (4, 9), scale=0.5)
    case.teachers = [(h, w if i else FrozenHead(w)) for i, (h, w) in enumerate(case.teachers)]
    with Shapes() as shapes:
        results = case.ours()
    assert {64, 23}.intersection(shapes.seen) >= ({64} if padding >= 41 else {23})
    assert padding < 41 or 23 not in shapes.seen
    case.teachers = [(h, w.weight_VH if isinstance(w, FrozenHead) else w) for h, w in case.teachers]
    assert all(worst(result, right) < bound for result, right in zip(results, case.oracle()))
    assert (results[3][23:] == 0).all()
