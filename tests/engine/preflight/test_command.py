"""What a preflight says of a run is what a run then does; nothing is left behind."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from engine.preflight import outlook
from engine.preflight.calibrate import evaluations_of
from engine.preset.load import load, load_file
from engine.protocol import findings
from engine.runs.home import home as zotui_home
from tests import starting
from tests.engine.conftest import Runner, needs_vllm


def preflight(*arguments: str, given: str | None = None) -> tuple[int, list[Any], str]:
    """A preflight as zotui asks for it: exit code, findings, and standard error."""
    done = starting.run(
        ["-P", "-m", "engine.preflight", *arguments],
        given="" if given is None else json.dumps(given) + "\n",
        env={**os.environ, "ZOTUI_HOME": str(zotui_home())},
    )
    return done.returncode, [findings.decode(line.encode()) for line in done.stdout.splitlines()], done.stderr


def one(found: list[Any], kind: type[Any]) -> Any:
    (only,) = [finding for finding in found if isinstance(finding, kind)]
    return only


@pytest.mark.parametrize("runtime", ["training-loop", pytest.param("vllm", marks=needs_vllm)])
def test_everything_that_a_run_starts_on_and_an_estimate(tiny_run: Runner, home: Path, runtime: str) -> None:
    text = load("tiny", tiny_run.preset.read_text(), [f"model.runtime={runtime}", "run.eval_every=6"]).to_toml()
    code, found, _ = preflight("--calibrate", "-", given=text)
    assert code == 0
    model, data, time = one(found, findings.Model), one(found, findings.Data), one(found, findings.Estimate)
    assert (model.architecture, model.parameters, model.scope) == ("OPTForCausalLM", 297_088, 196_608)
    assert one(found, findings.Setting).runtime == runtime
    assert (data.train, data.validation) == (48, 48)
    assert data.prompt.text.endswith("It was") and data.prompt.text.startswith("</s>")
    assert [option.text for option in data.options] == [" terrible", " great"]
    assert data.options[data.label].tokens == 1
    rooms = {room.of: room for room in found if isinstance(room, findings.Room)}
    assert sum(rooms["memory"].parts.values()) == rooms["memory"].needed < rooms["memory"].available
    assert sum(rooms["disk"].parts.values()) == rooms["disk"].needed < rooms["disk"].available
    assert time.evaluations == 3 and time.step > 0
    assert time.total == pytest.approx(time.start_up + 12 * time.step + 3 * time.evaluation)
    assert not (home / "runs").exists()


def test_what_a_run_would_refuse_is_refused_in_one_line(tiny_run: Runner, home: Path) -> None:
    text = load("tiny", tiny_run.preset.read_text(), ["task.label=nope"]).to_toml()
    code, found, stderr = preflight("-", given=text)
    assert code == 2
    assert one(found, findings.Error).text.startswith("task.label: no column 'nope' in ")
    assert stderr.startswith("zotui: task.label: ") and stderr.count("\n") == 1


def test_what_does_not_fit_is_said_after_what_is_known(tiny_run: Runner, home: Path) -> None:
    tiny_run.preset.write_text(tiny_run.preset.read_text().replace("[model]", "[model]\nmemory_limit_gib = 0.5"))
    code, found, _ = preflight(str(tiny_run.preset))
    assert code == 2
    assert "needs about" in one(found, findings.Error).text


def test_many_presets_at_once_without_a_download_or_building_the_demo(tiny_run: Runner, home: Path) -> None:
    text = tiny_run.preset.read_text()
    files = {name: tiny_run.preset.with_name(f"{name}.toml") for name in ("demo", "hub", "small", "gone", "absent")}
    model = str(load_file(tiny_run.preset).model.path)
    for name, path in (("demo", "builtin:demo"), ("hub", "nobody/never-there"), ("absent", "/nowhere/at/all")):
        files[name].write_text(text.replace(model, path))
    files["small"].write_text(text.replace("[model]", "[model]\nmemory_limit_gib = 0.5"))
    code, found, _ = preflight("--outlook", *map(str, [tiny_run.preset, *files.values()]))
    assert code == 0
    said = {Path(one.source).stem: one for one in found}
    assert said["tiny"].fits == said["demo"].fits == "yes"
    assert said["tiny"].parameters == 297_088 and said["tiny"].memory > said["tiny"].disk > 0
    assert said["demo"].parameters == 560_896
    assert said["hub"].fits == "unknown" and "downloaded" in said["hub"].why
    assert said["small"].fits == "no" and "of memory on cpu" in said["small"].why
    assert said["absent"].fits == "no" and "no such folder" in said["absent"].why
    assert said["gone"].fits == "no" and "cannot be read" in said["gone"].why
    assert not home.exists()  # the demo least of all


def test_what_the_presets_need_is_known_before_anything_is_downloaded(home: Path) -> None:
    files = sorted((Path(__file__).parents[3] / "presets").glob("*.toml"))
    code, found, _ = preflight("--outlook", *map(str, files))
    assert code == 0
    said = {Path(one.source).stem: one for one in found}
    assert set(said) == {file.stem for file in files}
    for name, one in said.items():
        assert one.memory > one.parameters and one.disk and one.fits in ("yes", "no"), name
    # As their model cards and papers count them.
    assert said["opt-1.3b-sst2"].parameters == 1_315_758_080
    assert said["opt-13b-sst2"].parameters == pytest.approx(12.85e9, rel=0.001)
    assert said["qwen3-0.6b-sst2"].parameters == 596_049_920
    assert said["opt-1.3b-sst2"].download in (0, 2 * 1_315_758_080)  # 0 where it was downloaded before


def test_a_quick_look_agrees_with_the_long_one(tiny_run: Runner, home: Path) -> None:
    quick = outlook.outlook(tiny_run.preset, load_file(tiny_run.preset))
    _, found, _ = preflight(str(tiny_run.preset))
    rooms = {room.of: room.needed for room in found if isinstance(room, findings.Room)}
    assert quick.disk == rooms["disk"]
    assert quick.memory == pytest.approx(rooms["memory"], rel=0.5)


@pytest.mark.parametrize(("steps", "every", "count"), [(10, None, 2), (10, 5, 3), (10, 4, 4), (1, 1, 2)])
def test_how_many_evaluations_a_run_takes(steps: int, every: int | None, count: int) -> None:
    assert evaluations_of(steps, every) == count


def test_it_ends_with_whoever_asked(tiny_run: Runner, home: Path) -> None:
    command = ["-P", "-m", "engine.preflight", "--leashed", "--calibrate", str(tiny_run.preset)]
    with Path(os.devnull).open("wb") as nothing:
        process = starting.start(command, stderr=nothing)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(240) == 130
