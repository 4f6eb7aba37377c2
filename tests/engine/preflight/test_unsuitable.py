"""Models that no run can start on: found by a preflight, in one line, before anything is loaded."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.preset.load import load
from engine.protocol import findings
from tests.engine.conftest import Runner, needs_vllm
from tests.engine.preflight.test_command import one, preflight
from zotui.text.findings import rows as findings_rows

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 123456789\n"
)
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


@pytest.fixture
def model(tmp_path: Path, tiny_models: dict[str, Path]) -> Path:
    """A Llama of two layers, to be spoilt."""
    return Path(shutil.copytree(tiny_models["llama"], tmp_path / "model", copy_function=shutil.copyfile))


@pytest.fixture
def refused(tiny_run: Runner, home: Path) -> Callable[..., str]:
    """Why a preflight refuses a model; nothing is left by it."""

    def refused(folder: Path, *settings: str) -> str:
        text = load("tiny", tiny_run.preset.read_text(), [f"model.path={folder}", *settings]).to_toml()
        code, found, stderr = preflight("-", given=text)
        assert code == 2, stderr
        assert stderr.count("\n") == 1 and stderr.startswith("zotui: ")
        assert not (home / "runs").exists()
        said: str = one(found, findings.Error).text
        assert not {event.name for event in found if isinstance(event, findings.Phase)} & {"loading model"}
        return said.removeprefix(f"model.path: {folder}: ")

    return refused


def configured(folder: Path, **changes: Any) -> Path:
    """`folder` with another configuration; None takes a key away."""
    file = folder / "config.json"
    config = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return folder


def holding(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Path:
    """`folder` with other weights."""
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS, metadata={"format": "pt"})
    return folder


def sharded(folder: Path) -> Path:
    """`folder` with its weights in two files and an index, as large models have them."""
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    names = sorted(tensors)
    files = {name: f"model-0000{1 + (number % 2)}-of-00002.safetensors" for number, name in enumerate(names)}
    for file in set(files.values()):
        part = {name: tensors[name] for name in names if files[name] == file}
        save_file(part, folder / file, metadata={"format": "pt"})
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": files}))
    return folder


# -- quantised weights -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "gptq, 4 bits"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False}, "bitsandbytes, 4 bits"),
        ({"quant_method": "fp8", "activation_scheme": "dynamic"}, "fp8"),
        ({"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"}, "compressed-tensors"),
        ({"quant_algo": "NVFP4"}, "NVFP4"),
    ],
)
def test_quantised_weights_by_the_configuration(refused: Any, model: Path, said: dict[str, Any], named: str) -> None:
    line = refused(configured(model, quantization_config=said))
    assert line == f"its weights are quantised ({named}); take the model in bfloat16, float16 or float32"


@pytest.mark.parametrize("name", ["model.layers.0.mlp.up_proj.qweight", "model.layers.0.mlp.up_proj.weight"])
def test_quantised_weights_by_their_header(refused: Any, model: Path, name: str) -> None:
    holding(model, lambda tensors: {**tensors, name: torch.zeros(128, 256, dtype=torch.int8)})
    assert f"its weights are quantised ({name} is I8)" in refused(model)


def test_a_folder_of_another_program(refused: Any, model: Path) -> None:
    (model / WEIGHTS).rename(model / "model-Q4_K_M.gguf")
    assert "its weights are in GGUF (model-Q4_K_M.gguf), which is for llama.cpp" in refused(model)


# -- files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", [WEIGHTS, "tokenizer.json", "config.json"])
def test_a_pointer_of_large_file_storage(refused: Any, model: Path, file: str) -> None:
    (model / file).write_text(POINTER)
    assert f"{file} is a pointer of Git LFS, not the file itself; run `git lfs pull`" in refused(model)


@pytest.mark.parametrize("file", [WEIGHTS, "tokenizer.json", "config.json"])
def test_an_empty_file(refused: Any, model: Path, file: str) -> None:
    (model / file).write_bytes(b"")
    assert refused(model) == f"{file} is empty; download it again"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda data: data[: len(data) // 2], "model.safetensors is cut off: "),
        (lambda data: data[:-1], "bytes); download it again"),
        (lambda data: data[:100], "model.safetensors is cut off within its header"),
        (lambda data: data[:3], "model.safetensors is cut off within its header"),
        (lambda data: data + b"\0" * 8, "is damaged: 8 bytes follow its last tensor"),
        (lambda data: b"<!DOCTYPE html><html><body>Sign in</body></html>", "is no safetensors file (it begins with"),
        (lambda data: data[:8] + data[8:].replace(b"{", b"!", 1), "is damaged: its header is no JSON object"),
        (lambda data: data.replace(b'"F32"', b'"F16"', 1), "is damaged: its header has no sense for"),
        (lambda data: data.replace(b'"data_offsets":[0,', b'"data_offsets":[8,', 1), "is damaged: its header has no"),
    ],
)
def test_a_file_that_is_damaged(refused: Any, model: Path, spoil: Callable[[bytes], bytes], said: str) -> None:
    data = (model / WEIGHTS).read_bytes()
    assert spoil(data) != data
    (model / WEIGHTS).write_bytes(spoil(data))
    assert said in refused(model)


def test_an_index_against_the_files_that_are_there(refused: Any, model: Path) -> None:
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    sharded(model)
    index = json.loads((model / INDEX).read_text())
    (model / second).rename(model / "aside")
    assert refused(model) == f"{second} is missing, which {INDEX} names; download the rest"
    (model / "aside").rename(model / second)
    tensor = next(name for name, file in index["weight_map"].items() if file == first)
    index["weight_map"][tensor] = second
    (model / INDEX).write_text(json.dumps(index))
    assert f"{second} has no {tensor}, which {INDEX} says it has" in refused(model)
    (model / INDEX).write_text("{")
    assert f"{INDEX} is no JSON" in refused(model)
    (model / INDEX).write_text(json.dumps({"weight_map": {"a": "../a.safetensors"}}))
    assert f"{INDEX} has no file for a" in refused(model)
    (model / INDEX).unlink()
    assert f"has neither model.safetensors nor {INDEX}" in refused(model)


def test_two_models_in_one_folder(refused: Any, model: Path) -> None:
    whole = (model / WEIGHTS).read_bytes()
    sharded(model)
    (model / WEIGHTS).write_bytes(whole)
    assert f"holds two models: model.safetensors, and the files that {INDEX} names" in refused(model)


def test_a_link_that_leads_nowhere_as_of_a_cache_that_was_cleared(refused: Any, model: Path) -> None:
    (model / WEIGHTS).unlink()
    (model / WEIGHTS).symlink_to("../../blobs/0123")
    assert refused(model) == "model.safetensors is a link that leads nowhere; download it again"


def test_headers_are_read_once(tiny_run: Runner, model: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.models import suitable
    from engine.preflight.plan import plan_run, prepare

    read: list[str] = []
    known = suitable.read_header

    def counted(where: str, path: Path) -> Any:
        read.append(path.name)
        return known(where, path)

    monkeypatch.setattr(suitable, "read_header", counted)
    wanted = load("tiny", tiny_run.preset.read_text(), [f"model.path={model}"])
    prepare(plan_run(wanted, lambda *_: None), lambda *_: None)
    assert read == [WEIGHTS]


@needs_vllm
def test_what_lies_beside_the_weights_is_a_matter_of_vllms(refused: Any, model: Path) -> None:
    """Such as the state of an optimizer, which transformers reads over; and so does what reads the base model."""
    from engine.models.facts import read_model
    from engine.models.missing import check_weights
    from engine.models.weights import BaseWeights

    state = {name: torch.zeros_like(tensor) for name, tensor in load_file(model / WEIGHTS).items()}
    save_file(state, model / "optimizer_state.safetensors")
    line = refused(model, "model.runtime=vllm")
    assert line.startswith("vLLM would read optimizer_state.safetensors beside model.safetensors as weights; move it")
    assert not check_weights(str(model), trust_remote_code=False)
    matrices = read_model(str(model), trust_remote_code=False).matrices
    assert BaseWeights(model, matrices).read(matrices[0].name).any()


def test_pickles_that_are_no_weights_are_not_read(model: Path) -> None:
    from engine.models.weights import read_pickles

    tensors = load_file(model / WEIGHTS)
    (model / WEIGHTS).unlink()
    torch.save({"state": {0: 1}, "param_groups": []}, model / "optimizer_rank0.bin")
    torch.save(tensors, model / "pytorch_model.bin")
    assert set(read_pickles(model)) == set(tensors)
    part = "pytorch_model-00001-of-00001.bin"
    (model / "pytorch_model.bin").rename(model / part)
    (model / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": dict.fromkeys(tensors, part)}))
    assert set(read_pickles(model)) == set(tensors)


def test_pickles_of_which_one_is_missing(refused: Any, model: Path) -> None:
    tensors = load_file(model / WEIGHTS)
    (model / WEIGHTS).unlink()
    torch.save(tensors, model / "pytorch_model-00001-of-00002.bin")
    files = {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}
    (model / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": files}))
    assert "pytorch_model-00002-of-00002.bin is missing" in refused(model)


# -- the configuration -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "config.json is no JSON (Expecting property name"),
        ("\ufeff{}", "config.json begins with a byte order mark, which no library reads over; save it without"),
        ("[1, 2]", "config.json holds no JSON object"),
        ("[" * 100_000, "config.json is no JSON"),
        ("{}", "cannot be read as a model: "),
        ('{"model_type": "never-heard-of"}', "cannot be read as a model: "),
    ],
)
def test_a_configuration_that_is_none(refused: Any, model: Path, text: str, said: str) -> None:
    (model / "config.json").write_text(text)
    assert refused(model).startswith(said)


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("auto", "write one of float32, bfloat16, float16"),
        ("torch.bfloat16", 'write "bfloat16"'),
        ("flot16", "write one of"),
        (17, "write one of"),
        (["float16"], "write one of"),
    ],
)
@pytest.mark.parametrize("key", ["dtype", "torch_dtype"])
def test_a_precision_that_is_none(refused: Any, model: Path, key: str, said: Any, remedy: str) -> None:
    configured(model, dtype=None, torch_dtype=None)
    line = refused(configured(model, **{key: said}))
    assert line.startswith(f'its config.json has "{key}": {said!r}, which is no type of weights; {remedy}')


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": "128"},
        {"hidden_size": 130},
        {"num_attention_heads": 0},
        {"num_hidden_layers": -1},
        {"vocab_size": None, "hidden_act": "no-such-activation"},
        {"rope_scaling": {"type": "never"}},
        {"rope_parameters": {"rope_type": "yarn"}},
        {"architectures": "LlamaForCausalLM"},
        {"pad_token_id": 32000},
        {"head_dim": 0},
        {"num_key_value_heads": 0},
        {"vocab_size": "512"},
        {"model_type": ["llama"]},
        {"text_config": {"hidden_size": 7}},
        {"attn_implementation": "flash_attention_2"},
        {"quantization_config": {}},
        {"architectures": ["OPTForCausalLM"]},
        {"architectures": ["LlamaForSequenceClassification"]},
        {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True},
        {"num_hidden_layers": 0},
    ],
)
def test_a_configuration_that_contradicts_itself_or_is_of_another_kind(
    refused: Any, model: Path, changes: dict[str, Any]
) -> None:
    line = refused(configured(model, **changes))
    assert "\n" not in line and len(line) < 400


def test_a_model_of_which_nothing_would_move(refused: Any, model: Path) -> None:
    line = refused(configured(model, num_hidden_layers=0))
    assert line == "nothing of it would move: LlamaForCausalLM has no linear layers; take another model"


def test_an_encoder_is_no_causal_model(refused: Any, model: Path) -> None:
    from transformers import AutoModelForMaskedLM, BertConfig

    config = BertConfig(
        vocab_size=512, hidden_size=128, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64
    )
    AutoModelForMaskedLM.from_config(config).save_pretrained(model)
    assert "reads in both directions, it is an encoder" in refused(model)


@pytest.mark.parametrize("kind", ["MambaConfig", "JambaConfig", "BambaConfig", "Qwen3NextConfig", "Lfm2Config"])
@pytest.mark.parametrize("runtime", ["training-loop", pytest.param("vllm", marks=needs_vllm)])
def test_layers_with_a_state(refused: Any, model: Path, kind: str, runtime: str) -> None:
    import transformers

    shape: dict[str, Any] = {"vocab_size": 512, "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 64}
    if kind != "MambaConfig":
        shape |= {"num_attention_heads": 2, "num_key_value_heads": 2}
    if kind == "Lfm2Config":
        shape |= {"layer_types": ["conv", "full_attention"]}
    config = getattr(transformers, kind)(**shape, architectures=[kind.replace("Config", "ForCausalLM")])
    config.save_pretrained(model)
    assert "has layers with a running state" in refused(model, f"model.runtime={runtime}")


@needs_vllm
def test_what_vllm_has_no_code_for(refused: Any, model: Path) -> None:
    narrow = configured(model, num_attention_heads=8, num_key_value_heads=4, head_dim=16)
    line = refused(narrow, "model.runtime=vllm")
    assert "its attention heads have 16 dimensions, vLLM on cpu has code for 32, 64," in line
    assert line.endswith("use --set model.runtime=training-loop")


@needs_vllm
def test_a_precision_that_vllm_refuses(refused: Any, model: Path, tiny_run: Runner, home: Path) -> None:
    from transformers import AutoModelForCausalLM, Gemma2Config

    shape = {"vocab_size": 512, "hidden_size": 64, "num_hidden_layers": 1, "intermediate_size": 64, "head_dim": 32}
    config = Gemma2Config(**shape, num_attention_heads=2, num_key_value_heads=1)
    AutoModelForCausalLM.from_config(config).save_pretrained(model)
    line = refused(model, "model.runtime=vllm", "model.dtype=float16")
    assert "vLLM refuses it: The model type 'gemma2' does not support float16" in line
    settings = [f"model.path={model}", "model.runtime=auto", "model.dtype=float16"]
    code, found, _ = preflight("-", given=load("tiny", tiny_run.preset.read_text(), settings).to_toml())
    set_up = one(found, findings.Setting)
    assert (code, set_up.runtime) == (0, "training-loop") and set_up.updates.startswith("updates: in place, rounded to")
    assert "does not support float16" in set_up.why and set_up.why.endswith("the slower training-loop runtime is used")


@needs_vllm
def test_a_folder_whose_name_is_a_pattern(refused: Any, model: Path, tiny_run: Runner) -> None:
    for name in ("model[1]", "mo*el", "mode?"):
        odd = model.rename(model.with_name(name))
        assert "as a pattern; rename the folder" in refused(odd, "model.runtime=vllm")
        model = odd.rename(model)
    odd = model.rename(model.with_name("mode[l]"))
    done = tiny_run(f"model.path={odd}", "run.steps=1", "model.runtime=auto")
    assert done.code == 0, done.stderr
    assert done.of("hello")[0]["runtime"] == "training-loop"  # which reads what is named


@needs_vllm
@pytest.mark.parametrize("runtime", ["training-loop", "vllm"])
def test_a_model_that_does_not_name_its_architecture_is_known_by_its_type(
    tiny_run: Runner, model: Path, runtime: str
) -> None:
    done = tiny_run(f"model.path={configured(model, architectures=None)}", f"model.runtime={runtime}", "run.steps=2")
    assert done.code == 0, done.stderr
    assert len(done.of("step")) == 2


def test_the_precision_of_files_whose_configuration_does_not_tell_it(model: Path) -> None:
    from engine.models.facts import read_model

    configured(model, dtype=None, torch_dtype=None)
    holding(model, lambda tensors: {name: tensor.bfloat16() for name, tensor in tensors.items()})
    assert read_model(str(model), trust_remote_code=False).dtype == torch.bfloat16


# -- weights that are missing, or do not fit ---------------------------------------------------------------


def without(*parts: str) -> Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
    """Weights but for those whose name has one of these parts."""
    return lambda tensors: {n: t.clone() for n, t in tensors.items() if not any(part in n for part in parts)}


def test_an_output_head_that_would_be_drawn_at_random(refused: Any, model: Path) -> None:
    line = refused(holding(model, without("lm_head")))
    assert line.startswith(
        "its files lack weights that the model needs: lm_head.weight (512 x 128); take a whole model"
    )
    assert "tie_word_embeddings" in line


def test_more_weights_are_counted(refused: Any, model: Path) -> None:
    line = refused(holding(model, without("layers.1.")))
    assert "model.layers.1.input_layernorm.weight (128), model.layers.1.mlp.down_proj.weight (128 x 256)" in line
    assert "and 6 more" in line


@needs_vllm
def test_it_is_said_whatever_the_runtime(refused: Any, model: Path) -> None:
    assert "lm_head.weight (512 x 128)" in refused(holding(model, without("lm_head")), "model.runtime=vllm")


def test_weights_as_a_pickle_are_looked_through_as_well(refused: Any, model: Path) -> None:
    tensors = without("lm_head")(load_file(model / WEIGHTS))
    (model / WEIGHTS).unlink()
    torch.save(tensors, model / "pytorch_model.bin")
    assert "lm_head.weight (512 x 128)" in refused(model)


def test_weights_of_another_shape(refused: Any, model: Path) -> None:
    line = refused(configured(model, intermediate_size=320))
    assert "model.layers.0.mlp.down_proj.weight is (128 x 256) there, the model needs (128 x 320); and 5 more" in line


def test_a_model_named_by_the_part_below_its_head_is_known_by_its_weights(refused: Any, model: Path) -> None:
    from engine.models.facts import read_model

    facts = read_model(str(configured(model, architectures=["LlamaModel"])), trust_remote_code=False)
    assert (facts.architecture, facts.names_architecture) == ("LlamaForCausalLM", False)
    assert "lack weights that the model needs: lm_head.weight" in refused(holding(model, without("lm_head")))


def test_padding_beyond_the_vocabulary_is_refused_where_the_model_cannot_be_built_with_it(tmp_path: Path) -> None:
    from transformers import AutoConfig

    from engine.errors import UserError
    from engine.models.facts import facts_of, read_model

    family("GPT2Config").save_pretrained(tmp_path)
    configured(tmp_path, pad_token_id=512, architectures=["GPT2LMHeadModel"])
    assert read_model(str(tmp_path), trust_remote_code=False, weights=False).vocabulary == 512
    with pytest.raises(UserError, match="has pad_token_id 512, beyond its vocabulary of 512; set it to null"):
        facts_of("llama", AutoConfig.for_model("llama", vocab_size=512, pad_token_id=512, num_hidden_layers=1))


def test_what_older_files_hold_too_much_is_not_told(model: Path) -> None:
    from engine.models.missing import check_weights

    more = {f"model.layers.{n}.self_attn.rotary_emb.inv_freq": torch.zeros(16) for n in range(2)}
    holding(model, lambda tensors: {**tensors, **more, "extra": torch.zeros(3)})
    assert check_weights(str(model), trust_remote_code=False) == ["extra"]


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "base_model.model."])
def test_weights_under_the_names_of_a_wrapper(refused: Any, model: Path, prefix: str) -> None:
    holding(model, lambda tensors: {prefix + name: tensor.clone() for name, tensor in tensors.items()})
    assert f"its files have other names, such as {prefix}lm_head.weight" in refused(model)


@needs_vllm
def test_weights_that_vllm_has_no_place_for_end_in_a_line_and_a_preflight_warns(
    tiny_run: Runner, model: Path, home: Path
) -> None:
    holding(model, lambda tensors: {**tensors, "score.weight": torch.zeros(2, 128)})
    settings = [f"model.path={model}", "model.runtime=vllm"]
    code, found, _ = preflight("-", given=load("tiny", tiny_run.preset.read_text(), settings).to_toml())
    warned = [log.text for log in found if isinstance(log, findings.Log) and log.level == "warning"]
    assert code == 0
    assert warned == ["model: its files hold weights that it has no use for (score.weight); vLLM may refuse them"]
    done = tiny_run(*settings)
    assert done.code == 2
    assert "vLLM cannot load it (ValueError: There is no module or parameter named 'score'" in done.stderr
    assert done.stderr.rstrip().endswith("use --set model.runtime=training-loop")
    assert not done.folder.exists()
    assert tiny_run(f"model.path={model}", "run.steps=1").code == 0


@pytest.mark.parametrize("held", [[1, 2], {"model": {"a": 1}, "epoch": 3}])
def test_a_pickle_that_is_no_set_of_weights(refused: Any, model: Path, held: Any) -> None:
    (model / WEIGHTS).unlink()
    torch.save(held, model / "pytorch_model.bin")
    assert "it holds more than tensors by their names" in refused(model)


def family(name: str) -> Any:
    import transformers

    shape: dict[str, Any] = {"vocab_size": 512, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    more: dict[str, dict[str, Any]] = {
        "MixtralConfig": {"intermediate_size": 96, "num_local_experts": 4, "num_key_value_heads": 2},
        "Qwen3MoeConfig": {"intermediate_size": 96, "moe_intermediate_size": 32, "num_experts": 4},
        "Gemma2Config": {"intermediate_size": 96, "head_dim": 32, "num_key_value_heads": 1},
        "Phi3Config": {"intermediate_size": 96, "pad_token_id": 0},
        "Qwen3Config": {"intermediate_size": 96, "head_dim": 32, "tie_word_embeddings": True},
        "OPTConfig": {"ffn_dim": 96, "word_embed_proj_dim": 64, "max_position_embeddings": 64},
    }
    return getattr(transformers, name)(**shape, **more.get(name, {}))


FAMILIES = [
    "OPTConfig", "Qwen3Config", "Gemma2Config", "Phi3Config", "MixtralConfig", "Qwen3MoeConfig", "GPT2Config",
    "GPTNeoXConfig", "FalconConfig", "BloomConfig", "CohereConfig", "Starcoder2Config", "PhiConfig", "MptConfig",
]  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_whole_models_of_many_families_are_taken_and_a_lost_weight_is_seen(tmp_path: Path, name: str) -> None:
    """As they are saved: experts in pieces, heads tied or not, buffers left out."""
    from transformers import AutoModelForCausalLM

    from engine.errors import UserError
    from engine.models.missing import check_weights

    folder = tmp_path / "model"
    AutoModelForCausalLM.from_config(family(name)).save_pretrained(folder)
    check_weights(str(folder), trust_remote_code=False)
    last = sorted(load_file(folder / WEIGHTS))[-1]
    holding(folder, without(last))
    with pytest.raises(UserError, match=f"its files lack weights that the model needs: .*{re.escape(last)} "):
        check_weights(str(folder), trust_remote_code=False)


def test_names_as_the_first_files_of_opt_have_them_and_tensors_too_many(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    from engine.models.missing import check_weights

    folder = tmp_path / "opt"
    AutoModelForCausalLM.from_config(family("OPTConfig")).save_pretrained(folder)
    holding(folder, lambda tensors: {n.removeprefix("model."): t.clone() for n, t in tensors.items()})
    assert "decoder.layers.0.fc1.weight" in load_file(folder / WEIGHTS)
    holding(folder, lambda tensors: {**tensors, "lm_head.weight": torch.zeros(512, 64), "extra": torch.zeros(3)})
    check_weights(str(folder), trust_remote_code=False)


# -- tokens ------------------------------------------------------------------------------------------------


def with_token(model: Path, text: str) -> Path:
    """`model` with a token more in its tokenizer than it has embeddings."""
    file = model / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    known = max([*tokenizer["model"]["vocab"].values(), *(token["id"] for token in tokenizer["added_tokens"])])
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    for number in range(known + 1, 513):
        tokenizer["added_tokens"].append({"id": number, "content": text if number == 512 else f"<{number}>", **flags})
    file.write_text(json.dumps(tokenizer))
    return model


@pytest.mark.parametrize("runtime", ["training-loop", pytest.param("vllm", marks=needs_vllm)])
def test_a_token_that_the_model_has_no_embedding_of(refused: Any, model: Path, tmp_path: Path, runtime: str) -> None:
    rows = [{"sentence": text, "label": number % 2} for number, text in enumerate(["a film", "a <more> film", "dull"])]
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    line = refused(with_token(model, "<more>"), f"task.train={data}", f"model.runtime={runtime}")
    assert line.startswith("task.train: example ")
    assert "has the token '<more>' (id 512), beyond the model's vocabulary of 512" in line


def test_a_tokenizer_with_more_tokens_than_are_used_is_taken(tiny_run: Runner, model: Path) -> None:
    done = tiny_run(f"model.path={with_token(model, '<never>')}", "run.steps=1")
    assert done.code == 0, done.stderr


@pytest.mark.parametrize("left", [(), ("tokenizer_config.json",), ("special_tokens_map.json",)])
def test_a_model_without_a_tokenizer(refused: Any, model: Path, left: tuple[str, ...]) -> None:
    for file in ("tokenizer.json", "tokenizer_config.json"):
        if file not in left:
            (model / file).unlink()
    assert "has no usable tokenizer" in refused(model)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"version": "1.0", "added_tokens": [], "model": {"type": "Newer"}}',
        '{"version": "1.0"}',
        "nothing of the kind",
    ],
)
def test_a_tokenizer_that_is_none(refused: Any, model: Path, text: str) -> None:
    (model / "tokenizer.json").write_text(text)
    assert "has no usable tokenizer" in refused(model)


# -- what does not move ------------------------------------------------------------------------------------


def test_what_does_not_move_is_said(tiny_run: Runner, model: Path, home: Path) -> None:
    text = load("tiny", tiny_run.preset.read_text(), [f"model.path={model}"]).to_toml()
    code, found, _ = preflight("-", given=text)
    assert code == 0
    line = "69% of the parameters move; not: embeddings and output head (31%)"
    assert findings_rows(one(found, findings.Model))[1] == ("", line)
    assert not [log.text for log in found if isinstance(log, findings.Log) and line in log.text]  # it is there once
    run = tiny_run(f"model.path={model}", "run.steps=1")
    assert [log["text"] for log in run.of("log")].count(f"model: {line}") == 1


def test_experts_that_stay_are_named_and_warned_of(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    from engine.models.still import still_of
    from engine.models.weights import Matrix

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(family("MixtralConfig"))
    attention = [
        Matrix(f"{name}.weight", layer.out_features, layer.in_features)
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear) and "self_attn" in name
    ]
    experts = 2 * 4 * 3 * 64 * 96
    still = still_of(model, attention)
    assert still.experts == experts and "; not: experts (" in str(still)
    # Each expert a matrix of its own, cut out of the tensor that holds them all.
    apart = [Matrix(f"model.layers.{n}.mlp.experts.{k}.w.weight", 96, 64) for n in range(2) for k in range(12)]
    assert still_of(model, [*attention, *apart]).experts == 0
