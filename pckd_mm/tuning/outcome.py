"""What a search came to: its report, and the winner as a config."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any, List, Mapping, Sequence

from pckd_mm.experiments import Run
from pckd_mm.experiments.facts import made_with_together
from pckd_mm.utils.files import write_whole

from .report import Found, write_report
from .trial_runs import Tuning
from .trials import Trial

__all__ = ["WINNER", "write_outcome"]

WINNER = "winner.py"


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
    named = tuning.teacher if (tuning.teacher or "").endswith(".pth") else None
    run = Run(
        "winner",
        tuning.config,
        tuning.seed,
        tuning.work_dir / "winner",
        settings,
        Path(named) if named else None,
        options=changes,
    )
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
    train = ["pckd", "train", str(path), *settings.amp_option()]
    compare = ["pckd", "compare"]
    source = tuning.teacher or run.cfg.model.get("teacher_config")
    compare += ["--teacher", str(source)] if source else []
    compare += ["--run", f"as in the config={tuning.config}", "--run"]
    compare += [f"found={path}", "--seeds", "0", "1", "2"]
    compare += [*settings.amp_option(), *settings.gpus_option()]
    again = [*compare, "--val-share", str(tuning.val_share)]
    options = settings.option_list()
    for command, folder in ((again, "held_out"), (compare, "test")):
        command += ["--work-dir", str(tuning.work_dir / folder)]
        command += ["--cfg-options", *options] if options else []
    return [
        f"The winner is trial {best.number}, {path}. Train it on all training images:",
        _block(train),
        "Was it luck? Other seeds on the same held-out images tell:",
        _block(again),
        "When all is chosen, once, on the test set:",
        _block(compare),
    ]


def _block(command: Sequence[str]) -> str:
    return f"```bash\n{shlex.join(command)}\n```"
