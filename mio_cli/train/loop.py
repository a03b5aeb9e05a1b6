"""The training loop: periods, gradient steps, the running average, checkpoints."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mio_cli.arch import build_model
from mio_cli.core.errors import MioError, UsageError
from mio_cli.core.recipe import Period, Recipe
from mio_cli.core.tasks import CLASS_ORDER
from mio_cli.hub.folder import load_model, save_model
from mio_cli.train.data import DegradedPatches, PhotoCache
from mio_cli.train.objective import objective_for
from mio_cli.train.schedule import learning_rate, period_at
from mio_cli.train.state import load_state, save_state

LOG_EVERY = 50
AGREE_EVERY = 10
"""Iterations between the moments at which several processes agree whether to stop."""


@dataclass
class Progress:
    """What a watcher is told after each logged step."""

    iteration: int
    total: int
    period: Period
    loss: float
    per_task: dict[str, float]
    seconds: float
    data_share: float


def _start_from(net: nn.Module, model: str) -> None:
    """Give ``net`` the weights of ``model``.

    Raises:
        UsageError: it is another network, or one of another size.
    """
    given, wanted = load_model(model).state_dict(), net.state_dict()
    same = given.keys() == wanted.keys()
    if not same or any(given[name].shape != value.shape for name, value in wanted.items()):
        raise UsageError(
            f"the weights of {model} do not fit the network of this recipe",
            hint="use the recipe that the model was trained with, or leave out --model",
        )
    net.load_state_dict(given)


@dataclass
class Trainer:
    """One training run in one folder.

    Args:
        recipe: what to train.
        folders: clean photos.
        run: folder of the run: state, log and the model so far.
        seed: of weights and patches.
        start: a model's name, folder or repository whose weights to start from, instead of random ones.
        max_seconds: stop cleanly after this long (``None``: at the end of the schedule).
        save_every: seconds between checkpoints.
        watch: called with :class:`Progress` every ``LOG_EVERY`` iterations, on the first process.
    """

    recipe: Recipe
    folders: list[Path]
    run: Path
    seed: int = 0
    start: str | None = None
    max_seconds: float | None = None
    save_every: float = 300.0
    watch: Callable[[Progress], None] = lambda progress: None
    stop_requested: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.rank, self.world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        shards = self.recipe.data.batch // self.recipe.data.shard
        if shards % self.world:
            raise UsageError(
                f"{self.world} processes cannot share {shards} shards a batch evenly",
                hint="set data.shard so that batch / shard is a multiple of the number of processes",
            )
        self.shards = range(self.rank, shards, self.world)
        self.device = torch.device("cpu")
        if torch.cuda.is_available():
            self.device = torch.device("cuda", self.rank % torch.cuda.device_count())
        torch.manual_seed(self.seed)
        table = self.recipe.model
        prompt = {} if table.prompt is None else {"prompt": table.prompt}
        net = build_model(table.arch, **prompt, **table.size)
        if self.start is not None:
            _start_from(net, self.start)
        self.net: nn.Module = net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = AveragedModel(self.net, multi_avg_fn=get_ema_multi_avg_fn(self.recipe.optim.ema))
        self.periods = self.recipe.schedule()
        self.total = self.periods[-1].first + self.periods[-1].iterations
        self.optimizer = self._new_optimizer()
        self.iteration = 0

    def _new_optimizer(self) -> torch.optim.Optimizer:
        optim = self.recipe.optim
        return torch.optim.AdamW(
            self.net.parameters(), lr=optim.lr, betas=optim.betas, weight_decay=optim.weight_decay
        )

    def resume(self) -> None:
        """Continue from the last checkpoint of the run."""
        facts = load_state(self.run, self.net, self.ema, self.optimizer)
        if facts["recipe"] != self.recipe.name:
            raise UsageError(f"{self.run} trained '{facts['recipe']}', not '{self.recipe.name}'")
        self.iteration, self.seed = facts["iteration"], facts["seed"]

    def save(self) -> None:
        """Write a checkpoint and, from the averaged weights, the model folder; the first process does."""
        if self.rank:
            return
        facts = {"iteration": self.iteration, "seed": self.seed, "recipe": self.recipe.name}
        save_state(self.run, self.net, self.ema, self.optimizer, facts)
        save_model(
            self.ema.module, self.recipe.model.arch, self.run,
            recipe=self.recipe.name, iterations=self.iteration,
        )  # fmt: skip

    def train(self) -> None:
        """Run until the schedule ends, time is up or :attr:`stop_requested` is set; then save.

        Raises:
            MioError: the loss is no longer finite; the last checkpoint is left as it is.
        """
        self.run.mkdir(parents=True, exist_ok=True)
        data = self.recipe.data
        patches = DegradedPatches(
            PhotoCache(self.folders, data.patch),
            patch=data.patch,
            tiles=data.tiles,
            count=data.shard,
            seed=self.seed,
            clean=self.recipe.optim.loss == "cross-entropy",
            form=data.form,
            augment=data.augment,
            shares=self.recipe.curriculum.shares,
        )
        step_net = self._distributed() if self.world > 1 else self.net
        started = last_save = time.monotonic()
        while self.iteration < self.total:
            self._step(step_net, patches)
            now = time.monotonic()
            late = self.max_seconds is not None and now - started > self.max_seconds
            if self._agree(late or self.stop_requested):
                break
            if now - last_save > self.save_every:
                self.save()
                last_save = now
        self.save()

    def _distributed(self) -> nn.Module:
        dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
        return DistributedDataParallel(self.net)

    def _agree(self, stop: bool) -> bool:
        """Whether to stop: at once when alone, else as soon as all have heard that one wants to.

        Processes that stopped at different iterations would wait for each other's gradients for ever.
        """
        if self.world == 1:
            return stop
        if self.iteration % AGREE_EVERY:
            return False
        flag = torch.tensor(int(stop), device=self.device)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag)

    def _step(self, step_net: nn.Module, patches: DegradedPatches) -> None:
        """One optimizer step on one global batch."""
        begun = time.perf_counter()
        period = period_at(self.periods, self.iteration)
        if period.new_stage and self.iteration == period.first > 0:
            # The paper runs its stages one after another, each with a fresh optimizer.
            self.optimizer = self._new_optimizer()
        rate = learning_rate(self.recipe.optim, period, self.iteration)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        objective = objective_for(self.recipe)
        data_seconds, losses, labels = 0.0, [], []
        for position, shard in enumerate(self.shards):
            before = time.perf_counter()
            batch = patches(self.iteration, shard, period.tasks).to(self.device)
            data_seconds += time.perf_counter() - before
            last = position == len(self.shards) - 1
            quiet = nullcontext() if self.world == 1 or last else step_net.no_sync()  # type: ignore[operator]
            bf16 = self.recipe.optim.precision == "bf16"
            with quiet, torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
                loss = objective(step_net, batch)
                (loss.mean() / len(self.shards)).backward()
            losses.append(loss.detach())
            labels.append(batch.label)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.update_parameters(self.net)
        self.iteration += 1
        if self.iteration % LOG_EVERY == 0:
            seconds = time.perf_counter() - begun
            self._log(period, rate, torch.cat(losses), torch.cat(labels), seconds, data_seconds / seconds)

    def _log(
        self, period: Period, rate: float, losses: torch.Tensor, labels: torch.Tensor,
        seconds: float, data_share: float,
    ) -> None:  # fmt: skip
        loss = losses.mean().item()
        if not torch.isfinite(losses).all():
            raise MioError(
                f"the loss at iteration {self.iteration} is {loss}",
                hint="lower optim.lr and resume; the last checkpoint is intact",
            )
        if self.rank:
            return
        names = [*(task.value for task in CLASS_ORDER), "clean"]
        per_task = {names[i]: losses[labels == i].mean().item() for i in labels.unique().tolist()}
        progress = Progress(self.iteration, self.total, period, loss, per_task, seconds, data_share)
        entry = {
            "iteration": self.iteration,
            "lr": rate,
            "loss": loss,
            **per_task,
            "seconds": round(seconds, 3),
            "data_share": round(data_share, 3),
            "time": round(time.time(), 1),
        }
        with (self.run / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
        self.watch(progress)
