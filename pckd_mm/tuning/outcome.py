"""What a search came to: its report, and the winner as a config."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any, List, Mapping, Sequence

from pckd_mm.experiments import Run, Settings
from pckd_mm.experiments.facts import made_with_together
from pckd_mm.experiments.run import TEACHER
from pckd_mm.utils.files import write_whole

from .report import Found, write_report
from .trial_runs import Tuning, teacher_settings
from .trials import Trial

__all__ = ["WINNER", "write_outcome"]

WINNER = "winner.py"
# What it is compared with, where the search changed settings of the config.
GIVEN = "given.py"


def write_outcome(tuning: Tuning, trials: Sequence[Trial], command: str) -> str:
    """Write the report and the winner, of what there is."""
    metric = trials[0].job.metric.name if trials else "value"
    found = Found(tuning.ranges, trials, metric)
    notes = [trial.job.note() for trial in trials if trial.is_finished]
    facts = {"command": command, **made_with_together(notes)} if notes else {}
    best = found.best
    steps = _winner(tuning, found, best, facts) if best is not None else []
    share = f"{100 * tuning.val_share:g} %"
    caption = (
        f"{metric} in percent after the last epoch that a trial was trained for, on "
        f"{share} of the training images, which were held out of the training, the "
        "same ones in all trials. The test set was not read. Trial 0 has the values of "
        f"{tuning.config}. One seed each, so that small differences are luck."
    )
    title = f"Search over {tuning.config}"
    return write_report(tuning.work_dir, title, found, caption, steps, facts)


def _winner(
    tuning: Tuning, found: Found, best: Trial, facts: Mapping[str, Any]
) -> List[str]:
    """Write the best trial as a config for all training images, if it is better.

    Returns:
        list[str]: What to do with it.
    """
    first = found.first
    path = tuning.work_dir / WINNER
    if best is first:
        path.unlink(missing_ok=True)
        return ["No trial was better than the values of the config."]
    changes = {entry.path: best.values[entry.name] for entry in tuning.ranges}
    settings = replace(tuning.settings, val_share=None)
    run = _run(tuning, "winner", settings, changes)
    share = f"{100 * tuning.val_share:g} %"
    lines = [
        f"Found by a search of {len(found.trials)} trials over {tuning.config}:",
        f"trial {best.number}, {found.metric} {best.value:.2f} on {share} of the",
        "training images, which were held out of the training"
        + (f"; the values of the config: {first.value:.2f}." if first else "."),
        *(f"  {name} = {value}" for name, value in changes.items()),
        *(f"{key}: {facts[key]}" for key in ("command", "commit") if key in facts),
    ]
    header = "".join(f"# {line}\n" for line in lines)
    write_whole(str(path), (header + run.settled).encode())
    train, again, test = _commands(tuning, run, best, settings)
    return [
        f"The winner is trial {best.number}, {path}. Train it on all training images:",
        _block(train),
        "Was it luck? Other seeds on the same held-out images tell:",
        _block(again),
        "When all is chosen, once, on the test set:",
        _block(test),
    ]


def _run(
    tuning: Tuning, name: str, settings: Settings, changes: Mapping[str, Any]
) -> Run:
    """A training on all images, with the teacher that is there."""
    named = Path(tuning.teacher or "")
    return Run(
        name,
        tuning.config,
        tuning.seed,
        tuning.work_dir / name,
        settings,
        named if named.suffix == ".pth" else None,
        options=dict(changes),
    )


def _commands(
    tuning: Tuning, winner: Run, best: Trial, settings: Settings
) -> List[List[str]]:
    """What trains the winner, and compares it on held-out images and the test set.

    Settings of the search are in the configs that are written, and in no command:
    there they would override what was found.
    """
    path, given = str(tuning.work_dir / WINNER), tuning.config
    if settings.options:
        given = str(tuning.work_dir / GIVEN)
        text = _run(tuning, "as in the config", settings, {}).settled
        write_whole(given, text.encode())
    compare = ["pckd", "compare"]
    # That which was trained for the search has not seen all images.
    was_trained = best.job.teacher is not None and winner.teacher is None
    if was_trained or tuning.teacher:
        source = tuning.teacher or winner.cfg.model.teacher_config
        compare += ["--teacher", _teacher(tuning, str(source), settings)]
    mine = ["--run", f"found={path}"]
    both = [*compare, "--run", f"as in the config={given}", *mine]
    kept = [*settings.speed_option(), *settings.broken_option()]
    how = [*kept, *settings.gpus_option()]
    seeds = ["--seeds", "0", "1", "2", *how]
    again = [*both, *seeds, "--val-share", str(tuning.val_share)]
    test = [*both, *seeds]
    train = ["pckd", "train", path, *kept]
    folders = {"held_out": again, "test": test}
    if was_trained or settings.gpus_per_run > 1:
        train = [*compare, *mine, "--seeds", str(tuning.seed), *how]
        folders["all_images"] = train
    for folder, command in folders.items():
        command += ["--work-dir", str(tuning.work_dir / folder)]
    return [train, again, test]


def _teacher(tuning: Tuning, source: str, settings: Settings) -> str:
    """The teacher's checkpoint or config; with the settings, where there are some."""
    own = teacher_settings(settings)
    if source.endswith(".pth") or not own.options:
        return source
    run = Run(TEACHER, source, 0, tuning.work_dir / TEACHER, own)
    path = run.folder / f"{Path(source).stem}.py"
    write_whole(str(path), run.settled.encode())
    return str(path)


def _block(command: Sequence[str]) -> str:
    return f"```bash\n{shlex.join(command)}\n```"
