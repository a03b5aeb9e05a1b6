"""Make one network of several, each trained on a task: its kernels are mixed by the prompt.

    python tools/mix_kernels.py START --alone jpeg -o runs/jpeg-start
    python tools/mix_kernels.py START noise=runs/noise jpeg=runs/jpeg -o runs/mixed --data photos/
    python tools/mix_kernels.py mio-small jpeg=runs/jpeg -o runs/mixed

The first takes the network of one task out, for a run to start from; that of JPEG has a constraint.

The second: START is what the runs started from (recipe ``mio-small-single``). What a run changed in a
convolution becomes a further kernel there, and the constraint comes from the run of JPEG; what else they
changed is left out. Then the choice among the kernels is fitted, on codes of photos degraded as recipe
``mio-small-mixed`` does it, each told its task and not told: a task's kernel is to get that task's share.

The third is for a START that has such kernels. It puts what a run has trained in place of the kernel that was
there. Nothing else changes: told another task, the network does what it did.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mio_cli.arch import build_model
from mio_cli.arch.compact import CompactUNet
from mio_cli.arch.kernels import KernelChoice, MixedConv2d
from mio_cli.core.cookbook import load_recipe
from mio_cli.core.errors import MioError, UsageError
from mio_cli.core.tasks import CLASS_ORDER, Task, parse_task
from mio_cli.hub.folder import load_model, read_facts, save_model
from mio_cli.hub.locate import model_folder
from mio_cli.train.data import Batch
from mio_cli.train.sources import open_patches

ROUNDS = 150
"""Times that every code is looked at while the choice is fitted."""


def of_size(net: CompactUNet, **fields: object) -> CompactUNet:
    """A network like ``net`` but for some fields, with its weights where it has the same."""
    made = cast(CompactUNet, build_model("compact", **(dataclasses.asdict(net.config) | fields)))
    made.load_state_dict(net.state_dict(), strict=False)
    if net.choice and made.choice and made.choice.read_jpeg and not net.choice.read_jpeg:
        start_jpeg(made.choice)
    return made.eval()


def start_jpeg(choice: KernelChoice) -> None:
    """Let JPEGs choose as all photos do, whatever their steps."""
    assert choice.read_jpeg is not None
    first, last = (cast(nn.Linear, choice.read_jpeg[index]) for index in (0, -1))
    before, after = (cast(nn.Linear, choice.read[index]) for index in (0, -1))
    first.weight.data = F.pad(before.weight.data, (0, first.in_features - before.in_features))
    first.bias.data = before.bias.data.clone()
    last.load_state_dict(after.state_dict())


def convolutions(net: CompactUNet) -> Iterator[tuple[str, MixedConv2d]]:
    """The convolutions that have further kernels, by name."""
    for name, module in net.named_modules():
        if isinstance(module, MixedConv2d):
            yield name, module


def kernel_of(net: CompactUNet, task: Task) -> int:
    """Which of the kernels is the task's.

    Raises:
        UsageError: none of them.
    """
    if task not in net.config.kernels:
        raise UsageError(f"no kernel is of {task}", hint=f"choose from {', '.join(net.config.kernels)}")
    return net.config.kernels.index(task)


def alone(net: CompactUNet, task: Task) -> CompactUNet:
    """The network of one task: its kernel, if there are any, added to the common one, for good.

    Raises:
        UsageError: the network has kernels, but none of this task.
    """
    # One task is always followed all the way.
    single = of_size(net, kernels=(), constraint=task is Task.JPEG, restraint=False)
    if not net.config.kernels:
        return single
    index, plain = kernel_of(net, task), dict(single.named_modules())
    for name, conv in convolutions(net):
        target = cast(nn.Conv2d, plain[name])
        target.weight.data = conv.weight.data + conv.more.data[index].view_as(conv.weight)
        cast(Tensor, target.bias).data += conv.more_bias.data[index]
    return single


def put(net: CompactUNet, runs: dict[Task, str]) -> None:
    """Make the kernels of these tasks what their runs have trained.

    Raises:
        UsageError: one of the tasks has no kernel.
    """
    for task, model in runs.items():
        index, run = kernel_of(net, task), cast(CompactUNet, load_model(model))
        if net.constraint and run.constraint:
            net.constraint.load_state_dict(run.constraint.state_dict())
        trained = dict(run.named_modules())
        for name, conv in convolutions(net):
            other = cast(nn.Conv2d, trained[name])
            conv.more.data[index] = (other.weight - conv.weight).flatten()
            conv.more_bias.data[index] = cast(Tensor, other.bias) - cast(Tensor, conv.bias)


def wanted(batch: Batch, tasks: list[Task]) -> Tensor:
    """Shares of the kernels and, last, of the common one: N×(K + 1)."""
    shares = batch.shares[:, [CLASS_ORDER.index(task) for task in tasks]]
    return torch.cat([shares, 1 - shares.sum(dim=1, keepdim=True)], dim=1)


@torch.no_grad()
def seen(net: CompactUNet, tasks: list[Task], photos: list[Path], batches: int) -> tuple[Tensor, ...]:
    """Codes of degraded photos, each told and untold, their quantisation steps, and the shares wanted."""
    assert net.prompt is not None
    recipe = load_recipe("mio-small-mixed")
    patches, *_ = open_patches(photos, recipe, seed=5, clean=True, device=torch.device("cpu"))
    codes, steps, shares = [], [], []
    for number in range(batches):
        batch = patches(number, 0, CLASS_ORDER)
        told = torch.where(batch.label < len(CLASS_ORDER), batch.label, -1)
        look, *_, table = net.prompt.encode_adaptive(batch.tiles, batch.scene)
        steps += [table] * 2
        look_untold = look + net.prompt.encode_explicit(torch.full_like(told, -1))[0]
        codes += [look_untold, look + net.prompt.encode_explicit(told)[0]]
        shares += [wanted(batch, tasks)] * 2
        print(f"batch {number + 1} of {batches}", end="\r")
    return torch.cat(codes), torch.cat(steps), torch.cat(shares)


def fit(net: CompactUNet, codes: Tensor, steps: Tensor, shares: Tensor) -> None:
    """Let the choice of ``net`` give these shares; say how often its largest is right on codes left out."""
    assert net.choice is not None
    held_out = torch.arange(len(codes)) // 32 % 10 == 0
    known, tables, answers = codes[~held_out], steps[~held_out], shares[~held_out]
    optimizer = torch.optim.AdamW(net.choice.parameters(), 2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, ROUNDS)
    for _ in range(ROUNDS):
        for rows in torch.randperm(len(known)).split(128):
            logits = net.choice.logits(known[rows], tables[rows])
            loss = -(answers[rows] * logits.log_softmax(dim=1)).sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    with torch.no_grad():
        chosen = net.choice.logits(codes[held_out], steps[held_out]).argmax(dim=1)
        right = chosen == shares[held_out].argmax(dim=1)
    print(f"held-out codes that choose the right kernel: {right.float().mean():.1%}")


def task_and_run(text: str) -> tuple[Task, str]:
    """``jpeg=runs/jpeg`` in two.

    Raises:
        UsageError: it is something else.
    """
    task, equals, run = text.partition("=")
    if not equals:
        raise UsageError(f"{text} is not TASK=RUN")
    return parse_task(task), run


def main() -> None:
    """Take out, or mix, fit and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("start")
    parser.add_argument("runs", nargs="*", metavar="TASK=RUN")
    parser.add_argument("--alone", type=Task, metavar="TASK", help="take out the network of this task")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--data", type=Path, action="append", help="photos, for fitting a new choice")
    parser.add_argument("--batches", type=int, default=250)
    options = parser.parse_args()
    if not options.alone and not options.runs:
        parser.error("name a TASK=RUN, or --alone TASK")
    torch.manual_seed(0)
    try:
        make(options)
    except MioError as error:
        parser.error(str(error))


def make(options: argparse.Namespace) -> None:
    """As :func:`main`, once the arguments are read.

    Raises:
        MioError: a task has no kernel, or a model or photos cannot be read.
    """
    runs = dict(map(task_and_run, options.runs))
    net = cast(CompactUNet, load_model(options.start))
    if options.alone:
        net = alone(net, options.alone)
    elif net.config.kernels:
        net = of_size(net, constraint=net.config.constraint or Task.JPEG in runs)
        put(net, runs)
    else:
        if not options.data:
            raise UsageError("--data is needed to fit a choice")
        net = of_size(net, kernels=tuple(runs), constraint=Task.JPEG in runs)
        put(net, runs)
        fit(net, *seen(net, list(runs), options.data, options.batches))
    save_model(net, "compact", options.output, **read_facts(model_folder(options.start)))


if __name__ == "__main__":
    main()
