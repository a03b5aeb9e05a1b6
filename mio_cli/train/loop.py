"""The training loop: periods, gradient steps, the running average, checkpoints."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from mio_cli.core.errors import MioError, UsageError
from mio_cli.core.paths import remove_stale_temporaries
from mio_cli.core.recipe import Recipe
from mio_cli.core.tasks import CLASS_ORDER, CLEAN, Task, parse_sequence
from mio_cli.hub.describe import count_parameters
from mio_cli.hub.folder import save_model
from mio_cli.train.ahead import made_ahead
from mio_cli.train.averaging import averaging
from mio_cli.train.consistency import build_network, check_recipe
from mio_cli.train.data import Batch, Patches, number_of
from mio_cli.train.log import RunLog, summary_writer
from mio_cli.train.machine import computes_bf16, core_to_spare
from mio_cli.train.muon import Muon
from mio_cli.train.objective import objective_for
from mio_cli.train.progress import Outcome, Progress, Window
from mio_cli.train.run_folder import SUMMARY, Settings, write_json, write_recipe, write_settings
from mio_cli.train.schedule import learning_rate, period_at
from mio_cli.train.sources import idle_with, open_patches
from mio_cli.train.state import STATE, Facts, read_state, save_batch, save_state, start_from
from mio_cli.train.validation import Validation

LOG_EVERY = 50
"""Iterations between lines of the log. A network whose steps are slow is logged once a minute instead."""

LOG_SECONDS = 60.0

CLASS_NAMES = [*(task.value for task in CLASS_ORDER), CLEAN, "mixed"]


@dataclass
class Trainer:
    """One training run in one folder.

    Args:
        recipe: what to train.
        folders: clean photos, lists of them, or pairs (:func:`mio_cli.train.sources.open_patches`).
        run: folder of the run: state, logs and the model so far.
        seed: of weights and patches.
        val: folder of held-out photos, looked at every ``val_every`` iterations and at the end.
        tensorboard: whether to write events for TensorBoard.
        start: a model's name, folder or repository whose weights to start from, instead of random ones.
        max_seconds: stop cleanly after this long (``None``: at the end of the schedule).
        save_every: seconds between checkpoints.
        watch: called with :class:`Progress` after every iteration, on the first process.
        watch_scores: called with the iteration and its scores after each validation.
        note: called with a sentence about data that was left out, or a precision that the machine lacks.

    Attributes:
        stop_requested: set by the caller to stop cleanly after the next step.
        opened: whether all photos are decoded, which may take minutes and heeds no such request.

    Raises:
        RecipeError: the recipe's parts do not fit each other.
        UsageError: the batch cannot be shared by so many processes, the model does not fit, or TensorBoard
            is wanted but not installed.
    """

    recipe: Recipe
    folders: list[Path]
    run: Path
    seed: int = 0
    val: Path | None = None
    val_every: int = 1000
    tensorboard: bool = False
    start: str | None = None
    max_seconds: float | None = None
    save_every: float = 300.0
    watch: Callable[[Progress], None] = lambda progress: None
    watch_scores: Callable[[int, dict[str, float]], None] = lambda iteration, scores: None
    note: Callable[[str], None] = lambda text: None
    stop_requested: bool = field(default=False, init=False)
    opened: bool = field(default=False, init=False)
    _resumed: bool = field(default=False, init=False)
    _trained: tuple[Task, ...] | None = field(default=(), init=False)

    def __post_init__(self) -> None:
        check_recipe(self.recipe)
        if self.tensorboard:
            summary_writer()
        self.rank, self.world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self.local_rank = int(os.environ.get("LOCAL_RANK", 0))
        shards = self.recipe.data.batch // self.recipe.data.shard
        if shards % self.world:
            raise UsageError(
                f"{self.world} processes cannot share {shards} shards a batch evenly",
                hint="set data.shard so that batch / shard is a multiple of the number of processes",
            )
        self.shards = range(self.rank, shards, self.world)
        self.device = torch.device("cpu")
        if torch.cuda.is_available():
            self.device = torch.device("cuda", self.local_rank % torch.cuda.device_count())
            torch.cuda.set_device(self.device)
        self.bf16 = self.recipe.optim.precision == "bf16" and computes_bf16(self.device)
        torch.manual_seed(self.seed)
        net = build_network(self.recipe.model)
        if self.start is not None:
            self._trained = start_from(net, self.start)
        only = self.recipe.optim.only
        for name, parameter in net.named_parameters():
            parameter.requires_grad_(not only or name.startswith(only))
        self.net: nn.Module = net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = AveragedModel(self.net, multi_avg_fn=averaging(self.recipe.optim.ema))
        self.objective = objective_for(self.recipe, self.net)
        self.periods = self.recipe.schedule()
        self.total = self.recipe.iterations
        self.optimizer = self._new_optimizer()
        self.iteration, self.seconds, self.photos = 0, 0.0, 0
        self.loss: float | None = None
        self.scores: dict[str, float] = {}

    def _new_optimizer(self) -> torch.optim.Optimizer:
        optim = self.recipe.optim
        kind = Muon if optim.optimizer == "muon" else torch.optim.AdamW
        return kind(self.net.parameters(), lr=optim.lr, betas=optim.betas, weight_decay=optim.weight_decay)

    def resume(self) -> None:
        """Continue from the last checkpoint of the run.

        Raises:
            DataError: there is none, or it is damaged.
            UsageError: it is of another recipe, network or optimizer.
        """
        state = read_state(self.run)
        facts, optimizer = state.facts, self.recipe.optim.optimizer
        if facts.recipe != self.recipe.name:
            raise UsageError(f"{self.run} trained '{facts.recipe}', not '{self.recipe.name}'")
        if (before := facts.optimizer or optimizer) != optimizer:
            raise UsageError(
                f"{self.run} was trained with {before}, whose moments are of no use to {optimizer}",
                hint="leave out --set optim.optimizer",
            )
        state.restore(self.net, self.ema, self.optimizer)
        self.iteration, self.seed, self.seconds = facts.iteration, facts.seed, facts.seconds
        self.loss, self.scores = facts.loss, facts.validation
        self._trained, self._resumed = facts.tasks, True

    def save(self) -> None:
        """Write a checkpoint and, from the averaged weights, the model folder; the first process does.

        Raises:
            MioError: they cannot be written; those of the last time are still whole.
        """
        if self.rank:
            return
        facts = Facts(
            self.iteration, self.seed, self.recipe.name, self.recipe.optim.optimizer,
            self.seconds, self.loss, self.scores, self._trained,
        )  # fmt: skip
        try:
            save_state(self.run, self.net, self.ema, self.optimizer, facts)
            save_model(
                self.ema.module, self.recipe.model.arch, self.run,
                recipe=self.recipe.name, iterations=self.iteration, tasks=self._trained,
            )  # fmt: skip
            write_json(self.run / SUMMARY, self._summary())
        except (OSError, SafetensorError) as error:
            whole = (self.run / STATE).exists()
            raise MioError(
                f"cannot write a checkpoint into {self.run}: {error}",
                hint=f"the last one is whole; make room, then: mio train --resume {self.run}"
                if whole
                else "make room, and start it again",
            ) from None

    def _summary(self) -> dict[str, object]:
        return {
            "recipe": self.recipe.name,
            "iterations": self.iteration,
            "of": self.total,
            "finished": self.iteration >= self.total,
            "seconds": round(self.seconds, 1),
            "parameters": count_parameters(self.net),
            "photos": self.photos,
            "seed": self.seed,
            "loss": self.loss,
            "validation": {name: round(score, 4) for name, score in self.scores.items()},
        }

    def train(self) -> None:
        """Run until the schedule ends, time is up or :attr:`stop_requested` is set; then save.

        Raises:
            MioError: the loss is no longer finite; the last checkpoint is left as it is.
            UsageError: the folder holds another run.
        """
        if not self._resumed and (self.run / STATE).exists():
            raise UsageError(
                f"{self.run} holds a run already",
                hint=f"mio train --resume {self.run}, or name another folder",
            )
        if self.world > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
        if self.recipe.optim.precision == "bf16" and not self.bf16 and self.rank == 0:
            self.note("bf16 is not faster on this machine: training in fp32")
        with self._one_by_one():
            patches = self._open()
        self.opened = True
        if self.rank == 0:
            remove_stale_temporaries(self.run)
            self._begin()
        step_net = self._wrapped()
        log = RunLog(self.run, self.iteration, tensorboard=self.tensorboard) if self.rank == 0 else None
        batches = self._batches(patches)
        try:
            self._loop(step_net, batches, log)
        finally:
            batches.close()
            if log:
                log.close()
        self.save()

    def _begin(self) -> None:
        """Keep what resuming needs; the state last, for it tells that a run can be resumed. What it starts
        from is saved at once: before the next save a run may stop, and where that came from may be gone."""
        write_recipe(self.run, self.recipe)
        settings = Settings(tuple(self.folders), self.seed, self.val, self.val_every, self.tensorboard)
        write_settings(self.run, settings)
        if not self._resumed:
            self.save()

    def _open(self) -> Patches:
        classes = getattr(self.net.config, "classes", 0)
        classified = self.recipe.optim.loss == "cross-entropy" and classes > len(CLASS_ORDER)
        patches, self.photos, skipped = open_patches(
            self.folders, self.recipe, seed=self.seed, device=self.device,
            clean=classified or self.recipe.curriculum.clean, skip=[self.run, *filter(None, [self.val])],
        )  # fmt: skip
        self._validation: Validation | None = None
        if self.rank == 0:
            self._note_left_out("photos", skipped)
            if idle := idle_with(patches, self.recipe.data):
                self.note(f"ready-made pairs are taken as they are, without {', '.join(idle)}")
            if self.val:
                tasks = parse_sequence(self.recipe.curriculum.sequence)
                skip = [self.run, *self.folders]
                self._validation = Validation(self.val, tasks, self.recipe.data.form, skip)
                self._note_left_out("photos held out", self._validation.skipped)
        return patches

    def _note_left_out(self, what: str, skipped: Sequence[str]) -> None:
        if skipped:
            names = ", ".join(Path(path).name for path in skipped[:5]) + (", …" if len(skipped) > 5 else "")
            self.note(f"left out {len(skipped)} of the {what}, unreadable or too small: {names}")

    @contextmanager
    def _one_by_one(self) -> Iterator[None]:
        """A machine's first process goes first: it decodes photos, which the others then find decoded."""
        if self.world > 1 and self.local_rank:
            dist.barrier()
        yield
        if self.world > 1 and not self.local_rank:
            dist.barrier()

    def _wrapped(self) -> nn.Module:
        net: nn.Module = torch.compile(self.net) if self.recipe.optim.compile else self.net  # type: ignore[assignment]
        if self.world == 1:
            return net
        # A constraint has gradients only where a batch has JPEGs, and looking for what has none takes time.
        sometimes_unused = getattr(self.net.config, "constraint", False)
        return DistributedDataParallel(net, find_unused_parameters=sometimes_unused)

    def _batches(self, patches: Patches) -> Generator[Batch]:
        """Shards of this process in order, from the present iteration on."""
        requests = (
            partial(patches, iteration, shard, period_at(self.periods, iteration).tasks)
            for iteration in range(self.iteration, self.total)
            for shard in self.shards
        )
        here = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        if core_to_spare(here, self.device):
            return made_ahead(requests)
        return (request() for request in requests)

    def _loop(self, step_net: nn.Module, batches: Generator[Batch], log: RunLog | None) -> None:
        self._started = last_save = time.monotonic()
        before, window = self.seconds, Window()
        while self.iteration < self.total:
            outcome = self._step(step_net, batches, window)
            self.seconds = before + time.monotonic() - self._started
            if log and self._report(log, window, outcome):
                window = Window()
            if log and self._validation and self._validation_due():
                self._validate(self._validation, log)
                window = Window()
            if outcome.stop:
                break
            if time.monotonic() - last_save > self.save_every:
                self.save()
                last_save = time.monotonic()

    def _step(self, step_net: nn.Module, batches: Generator[Batch], window: Window) -> Outcome:
        """One optimizer step on one global batch.

        Raises:
            MioError: a loss is not finite; weights and optimizer are as before.
        """
        period = period_at(self.periods, self.iteration)
        if period.new_stage and self.iteration == period.first > 0:
            # The paper runs its stages one after another, each with a fresh optimizer.
            self.optimizer = self._new_optimizer()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe.optim, period, self.iteration)
        losses, labels = [], []
        for shard in self.shards:
            before = time.perf_counter()
            batch = next(batches).to(self.device)
            window.waited += time.perf_counter() - before
            loss = self._backward(step_net, batch, shard)
            if not torch.isfinite(loss).all():
                save_batch(self.run, batch, self.iteration, shard)
            losses.append(loss)
            labels.append(batch.label)
        outcome = self._agree(torch.cat(losses), torch.cat(labels))
        if not math.isfinite(outcome.loss):
            raise MioError(
                f"the loss of iteration {self.iteration + 1} is not finite; its batch is in {self.run}",
                hint="lower optim.lr with --set and resume; the last checkpoint is whole",
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.update_parameters(self.net)
        self.iteration += 1
        if self._trained is not None:
            self._trained = tuple(dict.fromkeys((*self._trained, *period.tasks)))
        window.steps += 1
        return outcome

    def _backward(self, step_net: nn.Module, batch: Batch, shard: int) -> torch.Tensor:
        """Add the gradients of one shard; the processes' are averaged with the last. Returns losses, N."""
        last = shard == self.shards[-1]
        quiet = nullcontext() if self.world == 1 or last else step_net.no_sync()  # type: ignore[operator]
        # Stochastic depth must come out the same when the run is resumed, and in another process.
        torch.manual_seed(number_of(self.seed, self.iteration, shard, 1))
        with quiet, torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            losses = self.objective(step_net, batch)
            (losses.mean() / len(self.shards)).backward()
        return losses.detach()

    def _agree(self, losses: torch.Tensor, labels: torch.Tensor) -> Outcome:
        """What all processes saw, and whether one wants to stop.

        Processes that stopped at different iterations would wait for each other's gradients for ever.
        """
        late = self.max_seconds is not None and time.monotonic() - self._started > self.max_seconds
        facts = torch.zeros(2 * len(CLASS_NAMES) + 1, dtype=torch.float64, device=self.device)
        sums, counts, stop = facts.split([len(CLASS_NAMES), len(CLASS_NAMES), 1])
        sums.index_add_(0, labels, losses.double())
        counts.index_add_(0, labels, torch.ones_like(losses, dtype=torch.float64))
        stop += late or self.stop_requested
        if self.world > 1:
            dist.all_reduce(facts)
        means = dict(zip(CLASS_NAMES, (sums / counts).tolist(), strict=True))
        seen = (counts > 0).tolist()
        per_task = {name: mean for (name, mean), present in zip(means.items(), seen, strict=True) if present}
        return Outcome(bool(stop), float(sums.sum() / counts.sum()), per_task)

    def _report(self, log: RunLog, window: Window, outcome: Outcome) -> bool:
        """Tell the watcher; write a line of the log if it is time for one, and return whether it was."""
        self.loss = outcome.loss
        done = self.iteration - 1
        period = period_at(self.periods, done)
        logged = self.iteration % LOG_EVERY == 0 or window.seconds > LOG_SECONDS
        seconds, share = window.seconds / window.steps, window.waited / window.seconds
        self.watch(
            Progress(self.iteration, self.total, self.periods.index(period) + 1, len(self.periods), period,
                     outcome.loss, outcome.per_task, seconds, share, logged)
        )  # fmt: skip
        if logged:
            rate = learning_rate(self.recipe.optim, period, done)
            facts = {"lr": rate, "loss": outcome.loss, **outcome.per_task, "seconds": round(seconds, 3)}
            log.step(self.iteration, facts | {"data_share": round(share, 3)})
        return logged

    def _validation_due(self) -> bool:
        return self.iteration % self.val_every == 0 or self.iteration == self.total

    def _validate(self, validation: Validation, log: RunLog) -> None:
        self.scores, picture = validation(self.ema.module, self.device)
        log.validation(self.iteration, self.scores, picture)
        self.watch_scores(self.iteration, self.scores)
