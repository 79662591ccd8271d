"""What `test_spread` starts: a tiny model trained as a stage is, on data made from its number.

    python tests/support/spread_driver.py

Reads launches from standard input, a line each: `{"processes": 2, "jobs": {"OUT": {"optimizer": "muon"}, ...}}`. The
processes of a launch are forked with the environment that torchrun gives, so that torch is imported once for all. The
answer to a launch is a line: `{"codes": [0, -9], "err": "..."}`.

Step k holds the same examples under any number of processes; each process takes every n-th, one per pass. Writes
into each OUT `history.json` (a loss and a gradient norm per step), checkpoints, and the whole weights as
`final.safetensors`; goes on from the last checkpoint in OUT if there is one.
"""

import json
import os
import resource
import signal
import socket
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import SequentialSampler
from transformers import LlamaConfig, LlamaForCausalLM, PrinterCallback, TrainerCallback, TrainingArguments

from alpha_umi.config import StageConfig
from alpha_umi.training import distributed
from alpha_umi.training.optimizer import make_optimizer

STEPS = 6
GRACE = 60.0
"""Seconds in which the other processes shall end by themselves after one has failed."""
WORDS = 61  # odd, so that the rows of a table are dealt unevenly


@dataclass(frozen=True, slots=True)
class Row:
    """One pass of a process; a frozen object that hooks and data loaders must hand on untouched."""

    ids: Tensor
    adapter: int
    weight: float


@dataclass(frozen=True, slots=True)
class Share:
    step: int
    rows: list[Row]


class RankBatches(torch.utils.data.Dataset):
    """Item k is the share of process k % n in step k // n."""

    def __init__(self, steps: int, processes: int) -> None:
        self._steps, self._processes = steps, processes

    def __len__(self) -> int:
        return self._steps * self._processes

    def __getitem__(self, index: int) -> Share:
        step, process = divmod(index, self._processes)
        dice = torch.Generator().manual_seed(step)
        rows = []
        for _ in range(3 + step % 3):
            length = int(torch.randint(6, 15, (), generator=dice))
            ids = torch.randint(0, WORDS, (length,), generator=dice)
            adapter = int(torch.randint(0, 2, (), generator=dice))
            rows.append(Row(ids, adapter, 1.0 + float(torch.rand((), generator=dice))))
        return Share(step, rows[process :: self._processes])


class TwoAdapters(nn.Module):
    """A frozen linear layer with two LoRA adapters, of which a pass uses one."""

    chosen = 0

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.down = nn.ParameterList([nn.Parameter(torch.randn(4, linear.in_features) * 0.1) for _ in range(2)])
        self.up = nn.ParameterList([nn.Parameter(torch.randn(linear.out_features, 4) * 0.1) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        which = TwoAdapters.chosen
        return self.linear(x) + functional.linear(functional.linear(x, self.down[which]), self.up[which])


def build(options: dict) -> LlamaForCausalLM:
    torch.manual_seed(int(os.environ.get("RANK", "0")) if options.get("unseeded") else 0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=WORDS,
            hidden_size=24,
            intermediate_size=40,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=options.get("tied", False),
        )
    )
    if options.get("adapters"):
        model.requires_grad_(False)
        for layer in model.model.layers:
            layer.self_attn.q_proj = TwoAdapters(layer.self_attn.q_proj)
            layer.mlp.down_proj = TwoAdapters(layer.mlp.down_proj)
        model.get_input_embeddings().requires_grad_(True)
        if options.get("half_base"):
            for weight in model.parameters():
                if not weight.requires_grad:
                    weight.data = weight.data.bfloat16()
    if options.get("gradient_checkpointing"):
        model.activation_checkpointing_enable()
    return model


class Driver(distributed.SpreadTrainer):
    """The pattern of a stage: one batch is one process's share of one step."""

    def __init__(self, options: dict, arguments: TrainingArguments) -> None:
        self.options, self.losses, self.norms = options, [], []
        super().__init__(
            model=build(options),
            args=arguments,
            spread=distributed.Spread(
                shard=options.get("shard", True),
                reshard=options.get("reshard", True),
                dtype=torch.bfloat16 if options.get("half") else None,
            ),
            data_collator=lambda items: {"share": items[0]},
            train_dataset=RankBatches(STEPS, distributed.processes()),
        )
        self.remove_callback(PrinterCallback)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            settings = StageConfig(learning_rate=3e-3, weight_decay=0.1, optimizer=self.options["optimizer"])
            self.optimizer = make_optimizer(self.model, settings)
        return self.optimizer

    def _get_train_sampler(self, train_dataset: object = None) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)

    def training_step(self, model: nn.Module, inputs: dict, num_items_in_batch: object = None) -> Tensor:
        model.train()
        share = inputs["share"]
        assert share.step == self.state.global_step
        distributed.reseed(self.args.seed, share.step)
        total = distributed.sum_over(sum(row.weight * (len(row.ids) - 1) for row in share.rows))
        loss = torch.zeros((), device=self.args.device)
        for turn in range(distributed.equal_rounds(len(share.rows))):
            with self.compute_loss_context_manager():
                part = self.loss_sum(model, share.rows[turn] if turn < len(share.rows) else None)
            self.accelerator.backward(part * (distributed.processes() / total))  # gradients are averaged over processes
            loss += part.detach() * (distributed.processes() / total)
        distributed.average_gradients(model)
        return loss  # the Trainer logs the mean over processes

    def loss_sum(self, model: nn.Module, row: Row | None) -> Tensor:
        if row is None:  # nothing to do here while others work: a short pass whose gradients are zero
            return model(input_ids=torch.zeros(1, 2, dtype=torch.long), use_cache=False).logits.sum() * 0
        TwoAdapters.chosen = row.adapter
        logits = model(input_ids=row.ids[None], use_cache=False, layout=row).logits[0, :-1]
        return functional.cross_entropy(logits.float(), row.ids[1:], reduction="sum") * row.weight

    def log(self, logs: dict, start_time: float | None = None) -> None:
        if "grad_norm" in logs:
            self.losses.append(logs["loss"])
            self.norms.append(logs["grad_norm"])


class DieWhileSaving(TrainerCallback):
    """Ends the first process when all but the last file of a checkpoint is written."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if state.global_step == self._step and args.process_index == 0:
            state.save_to_json = lambda path: os.kill(os.getpid(), signal.SIGKILL)


class FullDisk(TrainerCallback):
    """From a step on no file may be longer than 3,000 bytes; on one process only."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if state.global_step == self._step and args.process_index == args.world_size - 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))


class DieInStep(TrainerCallback):
    """Ends its own process without a word."""

    def __init__(self, step: int, process: int) -> None:
        self._step, self._process = step, process

    def on_pre_optimizer_step(self, args, state, control, **kwargs) -> None:
        if state.global_step == self._step - 1 and args.process_index == self._process:
            os.kill(os.getpid(), signal.SIGKILL)


def main(out: Path, options: dict) -> None:
    arguments = TrainingArguments(
        output_dir=str(out),
        use_cpu=True,
        bf16=options.get("half", False),
        per_device_train_batch_size=1,
        num_train_epochs=1,
        learning_rate=3e-3,
        lr_scheduler_type="cosine",
        max_grad_norm=options.get("max_grad_norm", 0.5),
        save_steps=2,
        save_total_limit=2,
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to=[],
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        seed=3,
    )
    trainer = Driver(options, arguments)
    if "die_in_step" in options:
        trainer.add_callback(DieInStep(options["die_in_step"], process=1))
    if "die_while_saving" in options:
        trainer.add_callback(DieWhileSaving(options["die_while_saving"]))
    if "disk_full_at" in options:
        trainer.add_callback(FullDisk(options["disk_full_at"]))
    found = distributed.checkpoints(out)
    trainer.train(resume_from_checkpoint=str(found[-1]) if found else None)
    weights = distributed.full_weights(trainer.model)
    if distributed.is_first():
        save_file({name: weight.contiguous().clone() for name, weight in weights.items()}, out / "final.safetensors")
        everything = list(trainer.model.parameters())
        history = {
            "losses": trainer.losses,
            "norms": trainer.norms,
            "resumed": [path.name for path in found],
            "held": sum(distributed.local(w).numel() for w in everything) / sum(w.numel() for w in everything),
        }
        (out / "history.json").write_text(json.dumps(history))


# --- processes --------------------------------------------------------------------------------------------


def work(jobs: dict, environment: dict, log: int) -> None:
    """A forked process of a launch: does its jobs and ends."""
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(environment)
    code = 1
    try:
        for folder, settings in jobs.items():
            main(Path(folder), settings)
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def launch(processes: int, jobs: dict) -> dict:
    """Fork the processes of a launch and wait; when one fails, the others are ended, as by torchrun."""
    with tempfile.TemporaryFile() as log, socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port.getsockname()[1]), "WORLD_SIZE": str(processes)}
        port.close()
        children = {}
        for rank in range(processes):
            environment = place | {"RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(processes)}
            child = os.fork()
            if child == 0:
                work(jobs, environment if processes > 1 else {}, log.fileno())
            children[child] = rank
        codes: dict[int, int] = {}
        patience = None
        while children:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child:
                codes[children.pop(child)] = os.waitstatus_to_exitcode(status)
                patience = time.monotonic() + GRACE if status and patience is None else patience
            elif patience is not None and time.monotonic() > patience:
                for other in children:
                    os.kill(other, signal.SIGKILL)
            else:
                time.sleep(0.02)
        log.seek(0)
        return {"codes": [codes[rank] for rank in range(processes)], "err": log.read().decode(errors="replace")}


if __name__ == "__main__":
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(launch(order["processes"], order["jobs"])), flush=True)
