"""What other trainers call the keys of a preset: whoever writes one of these means a key that is here.

Names are from the options of Transformers and TRL, Axolotl, LLaMA-Factory, lm-eval, vLLM and the official MeZO and
LoZO trainers.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

_NEAR, _NEAR_THEIRS = 0.8, 0.82  # how much alike a name and a misspelt one are; theirs are many

_NAMES = {
    "model.path": "model_name model_name_or_path model_id base_model pretrained pretrained_model_name_or_path",
    "model.dtype": "torch_dtype precision bf16 fp16 load_float16 load_bfloat16",
    "model.device": "gpu cuda device_map no_cuda use_cpu",
    "model.memory_limit_gib": "gpu_memory_utilization max_memory memory_limit",
    "model.max_length": "max_seq_length max_seq_len model_max_length max_model_len cutoff_len sequence_len block_size",
    "model.cuda_graphs": "enforce_eager",
    "task.name": "task_name tasks",
    "task.train": "dataset datasets dataset_name train_file train_data train_dataset train_path data_path data_files "
    "data.path dataset.path",
    "task.validation": "validation_file validation_data eval_file eval_data eval_dataset dev_file valid_file val_file "
    "val_data val_set",
    "task.test": "test_file test_data",
    "task.template": "prompt prompt_template instruction instruction_template",
    "task.label": "label_column label_column_name label_col label_field",
    "task.verbalizer": "labels label_words label_map label_mapping id2label",
    "task.kind": "task_type",
    "task.choices": "options endings doc_to_choice",
    "task.messages": "conversations conversation dialog",
    "task.shots": "num_fewshot fewshot n_shots num_shots k_shot",
    "task.calibration": "sfc icl_sfc",
    "task.generate_tokens": "max_new_tokens max_gen_toks",
    "task.answers": "references gold golds",
    "task.target": "completion response answer output target_text",
    "task.end": "add_eos_token append_eos train_on_eos",
    "task.bos": "add_bos_token",
    "task.too_long": "truncation truncate",
    "task.train_examples": "max_train_samples num_train num_train_samples train_size max_samples",
    "task.validation_examples": "max_eval_samples max_val_samples num_eval num_dev eval_size val_set_size",
    "method.name": "trainer optim optimizer",
    "method.lr": "learning_rate",
    "method.eps": "epsilon zo_eps zo_epsilon perturbation_scale",
    "method.momentum": "beta beta1 adam_beta1 momentum_beta",
    "method.second_momentum": "beta2 adam_beta2",
    "method.angle": "theta cone_angle",
    "method.clip": "max_grad_norm gradient_clipping clip_grad_norm",
    "method.warm_up": "warmup_steps warmup_ratio num_warmup_steps warmup",
    "method.rank": "lozo_rank rank_r lora_rank lora_r",
    "method.interval": "step_interval update_interval nu",
    "method.schedule": "lr_scheduler lr_scheduler_type scheduler",
    "method.queries": "num_queries n_queries num_perturbations n_perts num_perts perturbation_batch_size q",
    "method.scope": "target_modules lora_target_modules trainable_parameters",
    "run.steps": "max_steps num_steps total_steps train_steps training_steps iterations max_iters epochs num_epochs "
    "num_train_epochs max_epochs",
    "run.batch_size": "per_device_train_batch_size per_gpu_train_batch_size train_batch_size micro_batch_size bs "
    "gradient_accumulation_steps",
    "run.seed": "random_seed train_set_seed manual_seed",
    "run.eval_every": "eval_steps eval_interval evaluation_steps evaluation_strategy eval_strategy",
    "run.patience": "early_stopping_patience early_stopping",
    "run.checkpoint_every": "save_steps save_interval save_strategy save_every",
    "run.keep_checkpoints": "save_total_limit",
    "run.checkpoint_best": "load_best_model_at_end save_best",
    "run.track": "report_to wandb wandb_project",
}

KEYS = {name: key for key, names in _NAMES.items() for name in names.split()}
"""What it is called elsewhere -> the preset's key."""

_NEEDLESS = {
    "no gradient is taken here: there are no activations to keep or to compute again": "gradient_checkpointing "
    "use_gradient_checkpointing activation_checkpointing",
    "a step is lr times a loss difference along Z, and nothing decays the weights": "weight_decay adam_epsilon",
    "every step is logged": "logging_steps logging_strategy log_every log_interval",
    "give --run-dir to `zotui run`": "output_dir save_dir run_dir",
}
_REASONS = {name: reason for reason, names in _NEEDLESS.items() for name in names.split()}


def meant(word: str) -> str:
    """The key of a preset that another trainer calls so, or nothing; in whichever section it is written.

    `model.name` is `model_name` too.
    """
    last = _plain(word).split(".")[-2:]
    names = (".".join(last), "_".join(last), last[-1])
    return next((KEYS[name] for name in names if name in KEYS), "")


def misspelt(word: str, ours: Iterable[str]) -> str:
    """The key of which a word is the misspelt name, be it ours or another trainer's; or nothing.

    Names are compared without their sections, which only decide between keys of one name.
    """
    plain = _plain(word)
    name = plain.rpartition(".")[2]
    named = [(key.rpartition(".")[2], key, _NEAR) for key in ours]
    named += [(theirs.rpartition(".")[2], key, _NEAR_THEIRS) for theirs, key in KEYS.items()]
    scores = [
        (like, SequenceMatcher(None, plain, key).ratio(), key)
        for known, key, enough in named
        if (like := SequenceMatcher(None, name, known).ratio()) >= enough
    ]
    return max(scores)[2] if scores else ""


def needless(word: str) -> str:
    """Why there is no such key, where another trainer has one; or nothing."""
    return _REASONS.get(_plain(word).rpartition(".")[2], "")


def _plain(word: str) -> str:
    return word.lstrip("-").replace("-", "_").lower()
