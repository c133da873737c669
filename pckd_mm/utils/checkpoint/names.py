"""Names of a checkpoint's tensors, and those that a network has."""

import re
from collections import Counter, defaultdict
from typing import Dict, List, Mapping, NamedTuple, Tuple

from torch import Tensor

from ..printable import printable

# Where an algorithm of MMRazor keeps the student.
STUDENT = "architecture."
# In front of the names of averaged weights, as their own part: ema., model_ema., swa_.
_AVERAGE = re.compile(r"(^|[._])(ema|swa|averaged?|avg)\d*[._]")
# What torch's wrappers put into names, wherever the wrapped module is.
_WRAPPERS = {"_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"}
_DDP = "module."
COUNTER = "num_batches_tracked"


class Fitted(NamedTuple):
    """Tensors under a network's names, and what was done to theirs.

    Attributes:
        tensors (dict[str, Tensor]): State dict.
        notes (list[str]): Half a sentence for each thing that was done.
    """

    tensors: Dict[str, Tensor]
    notes: List[str]


def part_of(state: Mapping[str, Tensor], prefix: str) -> Dict[str, Tensor]:
    """The tensors whose names begin by a prefix, under the rest of their names."""
    return {
        name.removeprefix(prefix): value
        for name, value in state.items()
        if name.startswith(prefix)
    }


def without_ddp(state: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """Tensors without the ``module.`` of DDP, which is in front of every name or none.

    A prefix of only some would merge tensors of one name.
    """
    of_ddp = all(name.startswith(_DDP) for name in state)
    return part_of(state, _DDP) if of_ddp else dict(state)


def plain_names(state: Mapping[str, Tensor]) -> Fitted:
    """Tensors under names without what torch's wrappers put into them.

    Args:
        state (Mapping[str, Tensor]): Tensors of a checkpoint.

    Returns:
        Fitted: The tensors; a note where their names were others.
    """
    plain, wrapped = _unwrapped(state)
    bare = without_ddp(plain)
    if bare.keys() != plain.keys():
        wrapped = {*wrapped, _DDP.rstrip(".")}
    notes = [f"names without {' and '.join(sorted(wrapped))}"] if wrapped else []
    return Fitted(bare, notes)


def fit_names(
    state: Mapping[str, Tensor],
    network: Mapping[str, Tensor],
    source: str = "The checkpoint",
) -> Fitted:
    """Give tensors the names of a network's, where they differ by a prefix.

    The prefix of either side by which most tensors have the name and shape of one of
    the network, and more than half of the smaller side's; else none. It may be
    ``module.`` of DDP, ``backbone.``, or ``architecture.`` of a distillation, whose
    student is taken; what stands beside such a prefix is left out. Of networks alike
    the student comes first and averages of weights, such as ``ema.``, last. Names
    inside of torch's wrappers, such as ``_orig_mod.``, lose those first, and the
    averages that MMCV's old EMA hook kept beside the weights, ``ema_*``, are left out.

    Args:
        state (Mapping[str, Tensor]): Tensors of a checkpoint.
        network (Mapping[str, Tensor]): State dict of the network.
        source (str): Name of their origin, for the message.

    Returns:
        Fitted: The tensors, whether they fit the network or not.

    Raises:
        ValueError: Where two prefixes fit equally well, and nothing says which.
    """
    notes = []
    state, wrapped = _unwrapped(state)
    if wrapped:
        notes.append(f"names without {' and '.join(sorted(wrapped))}")
    averages = {f"ema_{name.replace('.', '_')}" for name in state} & state.keys()
    averages -= network.keys()
    if averages:
        state = {name: state[name] for name in state if name not in averages}
        notes.append(f"without the {len(averages)} averages named ema_*")
    if state.keys() == network.keys():
        return Fitted(state, notes)
    rules = _prefixes(state, network)
    if len(rules) > 1:
        ways = sorted(" and ".join(_renaming(*rule)) for rule in rules)
        more = f", or {len(ways) - 2} others" if len(ways) > 2 else ""
        raise ValueError(
            f"{source} fits in {len(ways)} ways equally well, {ways[0]} or {ways[1]}"
            f"{more}; expected one network: save the tensors of the one that you mean "
            "alone, under the names that the network has."
        )
    ((taken, given),) = rules
    notes += _renaming(taken, given)
    left = [name for name in state if not name.startswith(taken)]
    if left:
        parts = sorted({name.split(".")[0] for name in left})
        shown = printable(", ".join(f"{part}.*" for part in parts[:5]), 300)
        notes.append(f"without the {len(left)} other tensors, {shown}")
    renamed = {given + name: value for name, value in part_of(state, taken).items()}
    return Fitted(renamed, notes)


def _renaming(taken: str, given: str) -> List[str]:
    """What is done to names, in words."""
    words = [f"names without {printable(taken, 300)!r}"] if taken else []
    return words + ([f"names with {given!r} in front"] if given else [])


def _unwrapped(state: Mapping[str, Tensor]) -> Tuple[Dict[str, Tensor], set]:
    """Tensors without the names of torch's wrappers, and which those were."""
    found, plain = set(), {}
    for name, value in state.items():
        parts = name.split(".")
        wrappers = _WRAPPERS.intersection(parts)
        found |= wrappers
        if wrappers:
            name = ".".join(part for part in parts if part not in _WRAPPERS)
        plain[name] = value
    return plain, found


def _prefixes(
    state: Mapping[str, Tensor], network: Mapping[str, Tensor]
) -> List[Tuple[str, str]]:
    """What to take from the tensors' names and to give them: most fit so.

    There are several where as many fit by each, and nothing says which. A pair of names
    that end alike, of tensors of one shape, is a vote for the two beginnings in which
    they differ.
    """
    by_end = defaultdict(list)
    for name, value in network.items():
        parts = name.split(".")
        by_end[parts[-1], form_of(value)].append(parts)
    votes: Counter = Counter()
    for name, value in state.items():
        parts = name.split(".")
        if parts[-1] != COUNTER:  # fits any layer
            for other in by_end[parts[-1], form_of(value)]:
                votes[_beginnings(parts, other)] += 1

    smaller = min(
        sum(not name.endswith(COUNTER) for name in names) for names in (state, network)
    )
    most = max(votes.values(), default=0)
    if most <= smaller / 2:
        return [("", "")]

    def rank(rule: Tuple[str, str]) -> tuple:
        # Of networks alike the student, as in every checkpoint of a distillation.
        is_student = any(part.endswith((STUDENT, "student.")) for part in rule)
        return rule == ("", ""), is_student, not any(map(_AVERAGE.search, rule))

    rules = [rule for rule in votes if votes[rule] == most]
    first = max(map(rank, rules))
    return [rule for rule in rules if rank(rule) == first]


def _beginnings(ours: List[str], theirs: List[str]) -> Tuple[str, str]:
    """Two names without the components at their ends that are the same."""
    same = 0
    while same < min(len(ours), len(theirs)) and ours[-1 - same] == theirs[-1 - same]:
        same += 1
    ends = (
        [f"{part}." for part in name[: len(name) - same]] for name in (ours, theirs)
    )
    our_end, their_end = map("".join, ends)
    return our_end, their_end


def form_of(value: object) -> object:
    """The shape of a tensor; of a module's extra state its type."""
    return tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
